package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certify writes a new certificate for this computer, and its key, to dir.
func certify(t *testing.T, dir string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// With a certificate links are https, and a renewed one is taken without a
// restart.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certify(t, dir, 1)
	r := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone",
		"--tls-cert", filepath.Join(dir, "cert.pem"), "--tls-key", filepath.Join(dir, "key.pem"))
	if link := r.must("link"); !strings.HasPrefix(link, "https://"+r.address()+"/#") {
		t.Errorf("link %q", link)
	}
	serial := func() int64 {
		t.Helper()
		conn, err := tls.Dial("tcp", r.address(), &tls.Config{InsecureSkipVerify: true}) // its own word, in this test
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Errorf("certificate %d", got)
	}
	certify(t, dir, 2)
	waitFor(t, "the new certificate", func() bool { return serial() == 2 })

	got := command(t, plainEnv(t.TempDir()), "--headless", "--listen", "127.0.0.1:0",
		"--tls-cert", filepath.Join(dir, "key.pem"), "--tls-key", filepath.Join(dir, "key.pem"))
	if got.status != exitUsage || !strings.Contains(got.err, "PEM") || strings.Count(got.err, "\n") != 1 {
		t.Errorf("with a wrong file: %+v", got)
	}
}
