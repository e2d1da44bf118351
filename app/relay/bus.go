package main

import (
	"errors"
	"log/slog"

	"earshot/server/relay"
	"earshot/server/setting"
)

// natsConfig is the table [nats]: where the relays meet that share streams.
type natsConfig struct {
	URLs        []string `toml:"urls"`
	Credentials string   `toml:"credentials"` // file
	CA          string   `toml:"ca"`
	Cert        string   `toml:"cert"`
	Key         string   `toml:"key"`
	Replicas    int      `toml:"replicas"`
	Name        string   `toml:"name"` // of this relay
}

// complete checks what can be checked without NATS.
func (n *natsConfig) complete(path string) error {
	if len(n.URLs) == 0 && (n.Credentials != "" || n.CA != "" || n.Cert != "" || n.Key != "" || n.Replicas != 0) {
		return errors.New(`nats: say where the servers are, such as urls = ["tls://nats.example.org:4222"], or leave the table out`)
	}
	for _, file := range []*string{&n.Credentials, &n.CA, &n.Cert, &n.Key} {
		*file = setting.Beside(path, *file)
	}
	_, err := relay.New(n.bus("", nil))
	return err
}

// bus returns the configuration of the bus, which keeps its files in dir where
// no NATS is elsewhere.
func (n *natsConfig) bus(dir string, log *slog.Logger) relay.Config {
	return relay.Config{
		Dir: dir, URLs: n.URLs, Credentials: n.Credentials, CA: n.CA, Cert: n.Cert, Key: n.Key,
		Replicas: n.Replicas, Name: n.Name, Log: log,
	}
}
