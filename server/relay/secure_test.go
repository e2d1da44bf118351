package relay

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// authority signs certificates.
type authority struct {
	t      *testing.T
	folder string
	leaf   *x509.Certificate
	key    *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, folder: t.TempDir()}
	a.leaf, a.key = a.make("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.folder, name) }

// make writes a certificate and its key to name.pem and name.key.
func (a *authority) make(name string, c *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.Subject = pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	parent, signer := c, key
	if by != nil {
		parent, signer = by.leaf, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for end, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(a.file(name+end), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, key
}

// guarded is a NATS server with TLS that wants a client certificate and the
// credentials of a user, whose account has JetStream where that is asked for.
func guarded(t *testing.T, a *authority, stores bool) (url, credentials, stranger string) {
	t.Helper()
	a.make("server", &x509.Certificate{DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, a)
	a.make("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, a)
	pair, err := tls.LoadX509KeyPair(a.file("server.pem"), a.file("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	known := x509.NewCertPool()
	known.AddCert(a.leaf)

	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	pairOf := func(make func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		t.Helper()
		k, err := make()
		must(err)
		public, err := k.PublicKey()
		must(err)
		return k, public
	}
	operator, operatorID := pairOf(nkeys.CreateOperator)
	account, accountID := pairOf(nkeys.CreateAccount)
	_, systemID := pairOf(nkeys.CreateAccount)
	other, _ := pairOf(nkeys.CreateAccount)
	resolver := &natsserver.MemAccResolver{}
	for _, id := range []string{accountID, systemID} {
		claims := jwt.NewAccountClaims(id)
		if stores && id == accountID {
			claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
		}
		text, err := claims.Encode(operator)
		must(err)
		must(resolver.Store(id, text))
	}
	user := func(name string, account nkeys.KeyPair) string {
		key, id := pairOf(nkeys.CreateUser)
		text, err := jwt.NewUserClaims(id).Encode(account)
		must(err)
		seed, err := key.Seed()
		must(err)
		file, err := jwt.FormatUserConfig(text, seed)
		must(err)
		must(os.WriteFile(a.file(name), file, 0o600))
		return a.file(name)
	}
	s, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: t.TempDir(),
		TLS: true, TLSVerify: true, TLSTimeout: 5,
		TLSConfig:       &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: known, ClientAuth: tls.RequireAndVerifyClientCert},
		TrustedKeys:     []string{operatorID},
		AccountResolver: resolver,
		SystemAccount:   systemID,
	})
	must(err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server does not get ready")
	}
	return fmt.Sprintf("tls://localhost:%d", s.Addr().(*net.TCPAddr).Port), user("relay.creds", account), user("stranger.creds", other)
}

// Relays meet at a server with TLS that wants a client certificate and a user's
// credentials; and what is wrong with those is said in words.
func TestGuardedServer(t *testing.T) {
	a := newAuthority(t)
	url, credentials, stranger := guarded(t, a, true)
	good := Config{URLs: []string{url}, Credentials: credentials, CA: a.file("ca.pem"), Cert: a.file("client.pem"), Key: a.file("client.key"), Replicas: 1}
	var ears []*ear
	for _, name := range []string{"a", "b"} {
		c := good
		c.Name = name
		ears = append(ears, newEar(t, c))
		eventually(t, patience, name+" admits", ears[len(ears)-1].bus.Admits)
	}
	ears[1].listen(1)
	l := ears[0].mustClaim("laptop")
	defer play(l, 1)()
	ears[1].hearing(patience)
	for _, one := range Check(t.Context(), good) {
		if one.Err != nil {
			t.Errorf("%s: %v", one.What, one.Err)
		}
	}

	for name, tt := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no authority":   {func(c *Config) { c.CA = "" }, "give the authority's file as ca"},
		"no client cert": {func(c *Config) { c.Cert, c.Key = "", "" }, "client certificate"},
		"no credentials": {func(c *Config) { c.Credentials = "" }, "doesn't let this relay in"},
		"a stranger's":   {func(c *Config) { c.Credentials = stranger }, "doesn't let this relay in"},
		"a missing file": {func(c *Config) { c.Credentials = a.file("nowhere") }, "nowhere"},
		"no PEM":         {func(c *Config) { c.CA = credentials }, "no certificate in PEM"},
		"another name":   {func(c *Config) { c.URLs = []string{strings.Replace(url, "localhost", "ip6-localhost", 1)} }, ""},
		"nobody there":   {func(c *Config) { c.URLs = []string{"nats://me:secret@127.0.0.1:1"} }, "nothing answers there"},
		"no such name":   {func(c *Config) { c.URLs = []string{"nats://nats.invalid:4222"} }, "is the name right"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			tt.change(&c)
			got := Check(t.Context(), c)
			if len(got) != 1 || got[0].Err == nil || !strings.Contains(got[0].Err.Error(), tt.want) {
				t.Errorf("%v, want %q", got, tt.want)
			}
			if strings.Contains(fmt.Sprint(got), "secret") {
				t.Errorf("tells a secret: %v", got)
			}
		})
	}
}

// What is missing on a server that lets the relay in.
func TestCheckStore(t *testing.T) {
	a := newAuthority(t)
	url, credentials, _ := guarded(t, a, false)
	c := Config{URLs: []string{url}, Credentials: credentials, CA: a.file("ca.pem"), Cert: a.file("client.pem"), Key: a.file("client.key"), Replicas: 1}
	got := Check(t.Context(), c)
	if len(got) != 3 || got[0].Err != nil || got[1].Err != nil || got[2].Err == nil || !strings.Contains(got[2].Err.Error(), "switch on jetstream") {
		t.Errorf("%v", got)
	}
	b := newAuthority(t)
	c.URLs[0], c.Credentials, _ = guarded(t, b, true)
	c.CA, c.Cert, c.Key, c.Replicas = b.file("ca.pem"), b.file("client.pem"), b.file("client.key"), 3
	got = Check(context.Background(), c)
	if len(got) != 3 || got[2].Err == nil || !strings.Contains(got[2].Err.Error(), "3 servers") {
		t.Errorf("%v", got)
	}
	c.Replicas = 1
	if got = Check(t.Context(), c); len(got) != 3 || got[2].Err != nil { // leaves nothing behind, and needs nothing
		t.Errorf("%v", got)
	}
}
