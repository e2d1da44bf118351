package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificate is a certificate chain and its private key in PEM files, which
// are read again when they change.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex // guards the rest
	pair    *tls.Certificate
	files   [2]os.FileInfo // as they were when they were last read; nil for none
	broken  bool           // they could not be used then
	checked time.Time
}

// OpenCertificate reads the two files.
func OpenCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log, checked: time.Now()}
	c.files = c.look()
	return c, c.read()
}

// Current is a tls.Config's GetCertificate. It looks at the files once a second
// at most; while they can't be used, the former certificate is.
func (c *Certificate) Current(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.checked) < time.Second {
		return c.pair, nil
	}
	c.checked = now
	files := c.look()
	changed := !same(files[0], c.files[0]) || !same(files[1], c.files[1])
	if !changed && !c.broken {
		return c.pair, nil
	}
	c.files = files
	err := c.read()
	c.broken = err != nil
	switch {
	case err == nil:
		c.log.Info("new certificate", "file", c.certFile)
	case changed:
		c.log.Error("the new certificate can't be used: going on with the former one", "err", err)
	}
	return c.pair, nil
}

func (c *Certificate) look() (files [2]os.FileInfo) {
	for i, name := range []string{c.certFile, c.keyFile} {
		files[i], _ = os.Stat(name) // what can't be read is said by read
	}
	return files
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func (c *Certificate) read() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read certificate %s and its key %s: %w: give a PEM file of each that belong together", c.certFile, c.keyFile, err)
	}
	c.pair = &pair
	return nil
}
