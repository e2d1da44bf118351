package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"earshot/server"
)

// selfSigned writes a certificate for localhost and its key, and returns what
// trusts it.
func selfSigned(t testing.TB, folder string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		text := pem.EncodeToMemory(block)
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		pool.AppendCertsFromPEM(text)
	}
	return pool
}

// Behind a real nginx with the configuration that README names, a laptop
// publishes and visitors listen over https, and the owner sees where they come
// from.
func TestRelayBehindNginx(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		if nginx = "/usr/sbin/nginx"; exec.Command(nginx, "-v").Run() != nil {
			t.Fatal("nginx is missing: apt-get install nginx-light, or run build/test, which does")
		}
	}
	folder := t.TempDir()
	pool := selfSigned(t, folder)
	front := freePort(t)
	_, port, _ := net.SplitHostPort(front)
	env := append(plainEnv(t.TempDir()), "SSL_CERT_FILE="+filepath.Join(folder, "cert.pem"))
	app := launch(t, env, "--headless", "--source", "tone", "--start")
	relay := launchRelay(t, `trusted-proxies = ["127.0.0.1"]`, fmt.Sprintf("keys = [%q]", app.must("relay", "key")))
	text, err := os.ReadFile(relay.config())
	if err != nil {
		t.Fatal(err)
	}
	base := "https://localhost:" + port
	if err := os.WriteFile(relay.config(), []byte(strings.Replace(string(text), "http://"+relay.addr, base, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	relay.stop()
	relay.start()

	site, err := os.ReadFile("../build/relay/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	conf := strings.NewReplacer(
		"listen 443 ssl", "listen "+front+" ssl",
		"/etc/letsencrypt/live/radio.example.org/fullchain.pem", filepath.Join(folder, "cert.pem"),
		"/etc/letsencrypt/live/radio.example.org/privkey.pem", filepath.Join(folder, "key.pem"),
		"radio.example.org", "localhost",
		"http://127.0.0.1:3278", "http://"+relay.addr,
	).Replace(string(site))
	whole := fmt.Sprintf("daemon off; pid %s/pid; error_log stderr; worker_processes 1;\nevents {}\nhttp {\naccess_log off;\n"+
		"client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;\n%[2]s}\n", folder, conf)
	if os.Getuid() == 0 {
		whole = "user root;\n" + whole
	}
	if err := os.WriteFile(filepath.Join(folder, "nginx.conf"), []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &output{}
	cmd := exec.Command(nginx, "-e", "stderr", "-c", filepath.Join(folder, "nginx.conf"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("nginx printed:\n%s", log)
		}
	})
	waitFor(t, "nginx", func() bool {
		conn, err := net.Dial("tcp", front)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})

	if out := app.must("relay", "add", "wss://localhost:"+port+"/radio"); !strings.Contains(out, "connected") {
		t.Fatalf("relay add: %s", out)
	}
	link := app.must("link", "--name", "Bob")
	if !strings.HasPrefix(link, base+"/radio/#") {
		t.Errorf("link %s", link)
	}
	dialer := websocket.Dialer{
		TLSClientConfig: &tls.Config{RootCAs: pool},
		NetDial: func(_, _ string) (net.Conn, error) {
			from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 5)}}
			return from.Dial("tcp", front)
		},
	}
	conn, answer, err := dialer.Dial("wss://localhost:"+port+"/radio/listen", http.Header{
		"Token": {tokenOf(t, link)}, "Origin": {base}, "X-Forwarded-For": {"192.0.2.7"},
	})
	if err != nil {
		t.Fatalf("%v: %v", err, answer)
	}
	defer conn.Close()
	for sound := 0; sound < 20; {
		_ = conn.SetReadDeadline(time.Now().Add(deadline))
		kind, _, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if kind == websocket.BinaryMessage {
			sound++
		}
	}
	var list []server.Listener
	waitFor(t, "Bob in the list", func() bool {
		return json.Unmarshal([]byte(app.must("listeners", "--json")), &list) == nil && len(list) == 1
	})
	if list[0].Address != "127.0.0.5" {
		t.Errorf("Bob comes from %s", list[0].Address)
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	page, err := client.Get(base + "/radio")
	if err != nil {
		t.Fatal(err)
	}
	_ = page.Body.Close()
	if page.StatusCode != 200 || page.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("page: %d %v", page.StatusCode, page.Header)
	}
}
