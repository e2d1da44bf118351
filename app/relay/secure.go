package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	// For where the machine has no authorities to believe, a container say.
	_ "golang.org/x/crypto/x509roots/fallback"

	"earshot/server"
)

// secure puts TLS in front of ln, where the config says so; else it returns ln.
func (c *config) secure(ctx context.Context, ln net.Listener, log *slog.Logger) (net.Listener, error) {
	switch {
	case c.TLSCert != "":
		certificate, err := server.OpenCertificate(c.TLSCert, c.TLSKey, log)
		if err != nil {
			return ln, err
		}
		return tls.NewListener(ln, &tls.Config{GetCertificate: certificate.Current, MinVersion: tls.VersionTLS12}), nil
	case c.ACME:
		config, err := c.acme(ctx, log)
		if err != nil {
			return ln, err
		}
		return tls.NewListener(ln, config), nil
	}
	return ln, nil
}

// acme gets a certificate for the url's host from a certificate authority, and a
// new one in time, for as long as ctx lasts. The authority asks for proof on
// port 443 (RFC 8737), which is ln's or leads there; port 80 isn't used.
func (c *config) acme(ctx context.Context, log *slog.Logger) (*tls.Config, error) {
	var magic *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		Logger:           zap.NewNop(), // OnEvent says what matters
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return magic, nil },
	})
	context.AfterFunc(ctx, cache.Stop)
	magic = certmagic.New(cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: filepath.Join(c.Data, "certificates")},
		Logger:  zap.NewNop(),
		OnEvent: func(_ context.Context, event string, data map[string]any) error {
			switch event {
			case "cert_obtained":
				log.Info("new certificate", "name", data["identifier"], "issuer", data["issuer"])
			case "cert_failed":
				log.Error("no certificate: does the url's name lead here, and port 443 to this relay?", "name", data["identifier"], "err", data["error"])
			}
			return nil
		},
	})
	issuer := certmagic.ACMEIssuer{Agreed: true, Email: c.Email, DisableHTTPChallenge: true, Logger: zap.NewNop()}
	// Where a router leads port 443 to another here; the proof is served on it.
	if _, port, err := net.SplitHostPort(string(c.Listen)); err == nil {
		issuer.AltTLSALPNPort, _ = strconv.Atoi(port)
	}
	if c.CA != "" {
		issuer.CA = c.CA
	}
	magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(magic, issuer)}
	// Not waited for: the proof is asked for on the port that is served from here on.
	if err := magic.ManageAsync(ctx, []string{c.URL.URL.Hostname()}); err != nil {
		return nil, fmt.Errorf("acme: %w", err)
	}
	config := magic.TLSConfig()
	config.NextProtos = append([]string{"http/1.1"}, config.NextProtos...)
	return config, nil
}
