package relay

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// checkTimeout bounds each step of a check.
const checkTimeout = 5 * time.Second

// Checked is what was found out of a NATS server, or of what all of them do.
type Checked struct {
	What string // without a password
	Err  error  // what is wrong and what to do; nil where all is well
}

// Check looks whether an external cluster does what a relay needs, each server by
// itself and then what must last; it changes nothing that lasts. Without URLs
// there is nothing to look at.
func Check(ctx context.Context, c Config) []Checked {
	var all []Checked
	var good *nats.Conn
	for _, text := range c.URLs {
		one := Checked{What: "nats server " + bare(text)}
		nc, err := dialOnce(c, text)
		if one.Err = words(err); err == nil {
			if good == nil {
				good = nc
				defer closeAndWait(nc)
			} else {
				closeAndWait(nc)
			}
		}
		all = append(all, one)
	}
	if good == nil {
		return all
	}
	return append(all,
		Checked{"nats: sound between relays", tryMessage(ctx, good)},
		Checked{"nats: what must last (JetStream)", tryStore(ctx, good, c)})
}

// bare returns a URL without what is secret.
func bare(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "of a malformed address"
	}
	return u.Scheme + "://" + u.Host
}

// dialOnce connects to one server and gives up soon.
func dialOnce(c Config, server string) (*nats.Conn, error) {
	options, err := c.access()
	if err != nil {
		return nil, err
	}
	return nats.Connect(server, append(options, nats.Name("earshot-relay check"), nats.Timeout(checkTimeout), nats.NoReconnect(), nats.IgnoreDiscoveredServers(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
}

// words says what to do about a connection that could not be made.
func words(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var ended x509.CertificateInvalidError
	var lookup *net.DNSError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		return fmt.Errorf("%w: its certificate is of an authority that isn't known here: give the authority's file as ca", err)
	case errors.As(err, &name):
		return fmt.Errorf("%w: its certificate is for another name: write the URL with that", err)
	case errors.As(err, &ended):
		return fmt.Errorf("%w: give the server a new certificate, or set the clock here", err)
	case strings.Contains(err.Error(), "remote error: tls"), strings.Contains(err.Error(), "after TLS handshake"): // these have no type
		return fmt.Errorf("%w: the server wants a client certificate that it knows: give cert and key", err)
	case errors.Is(err, nats.ErrSecureConnRequired), errors.Is(err, nats.ErrSecureConnWanted):
		return fmt.Errorf("%w: one side has TLS and the other has not: write the URL as tls:// where the server has it, else as nats://", err)
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return fmt.Errorf("%w: the server doesn't let this relay in: give the credentials of a user of its account, or put them right", err)
	case errors.As(err, &lookup):
		return fmt.Errorf("%w: is the name right?", err)
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: nothing answers there: start the server, and let its port through the firewall", err)
	}
	return err
}

// tryMessage sends a message on a stream's subject to itself.
func tryMessage(ctx context.Context, nc *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	to := subject(random(), "check")
	sub, err := nc.SubscribeSync(to)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := nc.Publish(to, nil); err != nil {
		return err
	}
	if _, err := sub.NextMsgWithContext(ctx); err != nil {
		if denied := nc.LastError(); denied != nil {
			err = denied
		}
		return fmt.Errorf("%w: let the relays' user publish and subscribe to earshot.v1.> and _INBOX.>", err)
	}
	return nil
}

// tryStore looks at the bucket or, where there is none, whether one can be made.
func tryStore(ctx context.Context, nc *nats.Conn, c Config) error {
	ctx, cancel := context.WithTimeout(ctx, 2*checkTimeout)
	defer cancel()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	kv, err := js.KeyValue(ctx, bucketName)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		config := bucketConfig(c.replicas())
		config.Bucket = "earshot-check-" + random()
		if kv, err = js.CreateKeyValue(ctx, config); err == nil {
			defer func() { _ = js.DeleteKeyValue(context.WithoutCancel(ctx), config.Bucket) }()
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: switch on jetstream in the servers' configuration, and for the relays' account", err)
	case tooFew(err) && c.replicas() > 1:
		return fmt.Errorf("%w: it shall be on %d servers: start them all, or set replicas to 1", err, c.replicas())
	default:
		return fmt.Errorf("%w: let the relays' user publish to $JS.API.> and $KV.>, and see that a majority of the servers runs", err)
	}
	own := keyRelay + "check-" + random()
	if _, err := kv.Put(ctx, own, nil); err != nil {
		return fmt.Errorf("store something: %w: let the relays' user publish to $KV.>, and see that a majority of the servers runs", err)
	}
	if err := kv.Purge(ctx, own); err != nil {
		return fmt.Errorf("remove something: %w", err)
	}
	return nil
}
