package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// writePair makes a certificate for 127.0.0.1 with a serial number, and writes
// it and its key as the files at the two paths, each in one step.
func writePair(t *testing.T, serial int64, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"radio.example"}}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := OpenCertificate(certFile, keyFile, nil); err == nil || !strings.Contains(err.Error(), certFile) {
		t.Errorf("no files: %v", err)
	}
	writePair(t, 1, certFile, keyFile)
	var log lines
	r := start(t, func(c *Config) {
		var err error
		if c.Certificate, err = OpenCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Fatal(err)
		}
	})
	trusting := func(most uint16) *tls.Config {
		return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: most}
	}
	serial := func() int64 {
		t.Helper()
		conn, err := tls.Dial("tcp", r.addr, trusting(0))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Errorf("certificate %d", got)
	}
	if conn, err := tls.Dial("tcp", r.addr, trusting(tls.VersionTLS11)); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is good enough")
	}

	dialer := websocket.Dialer{TLSClientConfig: trusting(tls.VersionTLS12)}
	conn, _, err := dialer.Dial("wss://"+r.addr+"/listen", http.Header{"Token": {r.token(time.Hour)}, "Origin": {"https://" + r.addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(deadline))
	var w welcome
	if err := conn.ReadJSON(&w); err != nil || w.Type != "welcome" {
		t.Errorf("welcome: %+v, %v", w, err)
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: trusting(0), DisableKeepAlives: true, ForceAttemptHTTP2: true}}
	resp, err := client.Get("https://" + r.addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.ProtoMajor != 1 || resp.Header.Get("Cross-Origin-Opener-Policy") != "same-origin" {
		t.Errorf("%s, headers %v", resp.Proto, resp.Header)
	}
	if resp, _ := r.ask("GET", "/", "", ""); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("plain http: %d", resp.StatusCode)
	}

	// A broken file changes nothing but the log, once.
	writeFile(t, certFile, "-----BEGIN")
	waitFor(t, "the broken file is noticed", func() bool { return serial() == 1 && strings.Contains(log.String(), "level=ERROR") })
	time.Sleep(1100 * time.Millisecond)
	if got := serial(); got != 1 || strings.Count(log.String(), "level=ERROR") != 1 {
		t.Errorf("certificate %d, log %s", got, log.String())
	}
	writePair(t, 2, certFile, keyFile)
	waitFor(t, "the new certificate is used", func() bool { return serial() == 2 })
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond)
	if got := serial(); got != 2 {
		t.Errorf("without a key: certificate %d", got)
	}
	r.publish(1, 3)
	next(t, conn)
}
