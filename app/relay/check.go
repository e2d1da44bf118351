package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"earshot/server/relay"
)

type checkCommand struct{}

// checked is something that was looked at.
type checked struct {
	what string
	err  error  // what is wrong
	note string // else what to know
}

func (checkCommand) Run(c *console) error {
	config, err := readConfig(c.config)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "ok     %s: the config file\n", c.config)
	wrong := 0
	for _, one := range config.check() {
		switch {
		case one.err != nil:
			wrong++
			fmt.Fprintf(c.out, "WRONG  %s: %v\n", one.what, one.err)
		case one.note != "":
			fmt.Fprintf(c.out, "note   %s: %s\n", one.what, one.note)
		default:
			fmt.Fprintf(c.out, "ok     %s\n", one.what)
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of that must be mended", wrong)
	}
	return nil
}

// check looks at what the config names.
func (c *config) check() []checked {
	all := []checked{c.checkData(), c.checkName()}
	for key, addr := range map[string]string{"listen": string(c.Listen), "metrics": string(c.Metrics)} {
		if addr != "" {
			all = append(all, checkPort(key, addr))
		}
	}
	if c.TLSCert != "" {
		all = append(all, c.checkCertificate())
	}
	local := loopback(string(c.Listen)) == nil
	if c.URL.URL.Scheme == "https" && c.TLSCert == "" && !c.ACME {
		one := checked{what: "https by a proxy"}
		switch {
		case len(c.TrustedProxies) == 0:
			one.err = errors.New("there is no tls-cert and no acme: if a proxy does that here, name it in trusted-proxies, or all visitors seem to come from it")
		case !local:
			one.note = "who reaches the port past the proxy gets plain http: listen = \"127.0.0.1:PORT\" keeps it to the proxy"
		}
		all = append(all, one)
	}
	for _, one := range relay.Check(context.Background(), c.NATS.bus("", nil)) {
		all = append(all, checked{what: one.What, err: one.Err})
	}
	for _, s := range c.Streams {
		one := checked{what: fmt.Sprintf("stream %s at %s", s.Name, s.url)}
		if s.Public {
			one.note = "anybody may listen to it"
		}
		all = append(all, one)
	}
	return all
}

func (c *config) checkData() checked {
	one := checked{what: "data folder " + c.Data}
	if one.err = os.MkdirAll(c.Data, 0o700); one.err != nil {
		return one
	}
	var probe *os.File
	if probe, one.err = os.CreateTemp(c.Data, ".check-*"); one.err == nil {
		one.err = errors.Join(probe.Close(), os.Remove(probe.Name()))
	}
	return one
}

// checkName looks whether the url's name leads to this machine.
func (c *config) checkName() checked {
	host := c.URL.URL.Hostname()
	one := checked{what: "the name " + host}
	if _, err := netip.ParseAddr(host); err == nil {
		return one
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		one.err = fmt.Errorf("%w: make an A or AAAA record for it where the domain is managed", err)
		return one
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return one
	}
	for _, a := range own {
		prefix, err := netip.ParsePrefix(a.String())
		for _, f := range found {
			if err == nil && prefix.Addr().Unmap() == f.Unmap() {
				return one
			}
		}
	}
	one.note = fmt.Sprintf("it leads to %v, which is none of this machine's addresses; right behind a router or a proxy elsewhere", found)
	return one
}

func checkPort(key, addr string) checked {
	one := checked{what: key + " " + addr}
	ln, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		one.note = "something listens there already; right if that is this relay"
	case errors.Is(err, syscall.EACCES):
		one.note = "this user may not; systemd's unit may"
	case err != nil:
		one.err = err
	default:
		one.err = ln.Close()
	}
	return one
}

func (c *config) checkCertificate() checked {
	one := checked{what: "certificate " + c.TLSCert}
	pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		one.err = err
		return one
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	switch {
	case err != nil:
		one.err = err
	case leaf.VerifyHostname(c.URL.URL.Hostname()) != nil:
		one.err = fmt.Errorf("it is not for %s, but for %v", c.URL.URL.Hostname(), leaf.DNSNames)
	case time.Now().After(leaf.NotAfter):
		one.err = fmt.Errorf("it ended %s: get a new one", leaf.NotAfter.Format(time.RFC3339))
	case time.Until(leaf.NotAfter) < 14*24*time.Hour:
		one.note = "it ends " + leaf.NotAfter.Format(time.RFC3339)
	}
	return one
}
