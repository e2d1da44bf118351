package main

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"earshot/server"
	"earshot/server/profile"
	"earshot/server/setting"
	"earshot/server/token"
)

// config is the config file.
type config struct {
	Listen setting.Address `toml:"listen"`
	URL    setting.URL     `toml:"url"`  // as visitors see it
	Data   string          `toml:"data"` // folder of what is withdrawn, and of certificates

	TLSCert string `toml:"tls-cert"`
	TLSKey  string `toml:"tls-key"`
	ACME    bool   `toml:"acme"`
	Email   string `toml:"acme-email"`
	CA      string `toml:"acme-ca"`

	TrustedProxies []setting.Prefix `toml:"trusted-proxies"`
	Metrics        setting.Address  `toml:"metrics"`
	Profiles       bool             `toml:"profiles"` // beside the metrics
	Drain          setting.Pause    `toml:"drain"`
	LogLevel       setting.Level    `toml:"log-level"`
	LogFormat      setting.Format   `toml:"log-format"`

	NATS    natsConfig     `toml:"nats"`
	Streams []streamConfig `toml:"stream"`
}

// streamConfig is one [[stream]].
type streamConfig struct {
	Name         string           `toml:"name"`
	Title        string           `toml:"title"`
	Public       bool             `toml:"public"`
	Keys         []string         `toml:"keys"`
	Secret       string           `toml:"secret"`
	SecretFile   string           `toml:"secret-file"`
	Embed        []setting.Origin `toml:"embed"`
	MaxListeners int              `toml:"max-listeners"`

	keys []token.VerifyKey
	url  string // the audience of its tokens
}

// readConfig reads and checks the config file at path. An error is one line that
// names the file and the key.
func readConfig(path string) (*config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &usageError{fmt.Errorf("read config file: %w: name another with --config", err)}
	}
	c := &config{Listen: ":443", Data: "/var/lib/earshot-relay", Metrics: "127.0.0.1:9277", LogFormat: "text", Drain: setting.Pause(defaultDrain)}
	dec := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := dec.Decode(c); err != nil {
		return nil, &usageError{fmt.Errorf("%s: %w", path, explain(err))}
	}
	if err := c.complete(path); err != nil {
		return nil, &usageError{fmt.Errorf("%s: %w", path, err)}
	}
	return c, nil
}

// explain says in one line what is wrong with the file's text.
func explain(err error) error {
	var unknown *toml.StrictMissingError
	var where *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		key := unknown.Errors[0].Key()
		row, _ := unknown.Errors[0].Position()
		of, names := "setting", names(reflect.TypeFor[config]())
		if len(key) > 1 && key[0] == "stream" {
			of, names = "setting of a stream", streamNames()
		}
		if len(key) > 1 && key[0] == "nats" {
			of, names = "setting of nats", natsNames()
		}
		return fmt.Errorf("line %d: %s: no such %s: use one of %s", row, strings.Join(key, "."), of, names)
	case errors.As(err, &where):
		row, column := where.Position()
		text := strings.TrimPrefix(where.Error(), "toml: ")
		if key := where.Key(); len(key) > 0 {
			return fmt.Errorf("line %d: %s: %s", row, strings.Join(key, "."), text)
		}
		return fmt.Errorf("line %d, column %d: %s: write settings as KEY = VALUE, text in quotes", row, column, text)
	}
	return err
}

func streamNames() string { return names(reflect.TypeFor[streamConfig]()) }

func natsNames() string { return names(reflect.TypeFor[natsConfig]()) }

// names are the keys that a type has in the file.
func names(t reflect.Type) string {
	var all []string
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("toml"); tag != "" {
			all = append(all, tag)
		}
	}
	return strings.Join(all, ", ")
}

// complete checks what each key alone can't show, and reads keys and secrets.
func (c *config) complete(path string) error {
	c.Data = setting.Beside(path, c.Data)
	c.TLSCert, c.TLSKey = setting.Beside(path, c.TLSCert), setting.Beside(path, c.TLSKey)
	switch {
	case c.URL.URL == nil:
		return errors.New(`url: say where visitors find this relay, such as url = "https://radio.example.org"`)
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return errors.New("tls-cert and tls-key belong together: give both, or none")
	case c.ACME && c.TLSCert != "":
		return errors.New("acme: there is tls-cert already: choose one of them")
	case c.ACME && c.URL.URL.Scheme != "https":
		return errors.New("acme: the url must begin with https://")
	case !c.ACME && (c.Email != "" || c.CA != ""):
		return errors.New("acme-email, acme-ca: they need acme = true")
	case c.Profiles && c.Metrics == "":
		return errors.New("profiles: they are beside the metrics: give those an address, or leave profiles out")
	case c.TLSCert != "" && c.URL.URL.Scheme != "https":
		return errors.New("tls-cert: the url must begin with https://")
	}
	err := errors.Join(check("listen", &c.Listen), check("log-format", &c.LogFormat))
	if c.Metrics != "" {
		err = errors.Join(err, check("metrics", &c.Metrics), loopback(string(c.Metrics)))
	}
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), "\n")
		return errors.New(text)
	}
	if len(c.Streams) == 0 {
		return errors.New("stream: there is none: begin one with [[stream]], and give it a name and keys")
	}
	if err := c.NATS.complete(path); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i := range c.Streams {
		s := &c.Streams[i]
		if err := server.CheckName(s.Name); err != nil {
			return fmt.Errorf("stream: name: %w", err)
		}
		if seen[s.Name] {
			return fmt.Errorf("stream %s: there are two of this name: give each another", s.Name)
		}
		seen[s.Name] = true
		if err := s.complete(path, c.URL.URL.String()); err != nil {
			return fmt.Errorf("stream %s: %w", s.Name, err)
		}
	}
	return nil
}

// check reads a text once more: go-toml doesn't ask a type that is a string.
func check[T ~string](key string, text *T) error {
	if err := any(text).(encoding.TextUnmarshaler).UnmarshalText([]byte(*text)); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// loopback says what is wrong with an address that nobody else may reach.
func loopback(addr string) error {
	if !profile.Loopback(addr) {
		return errors.New("metrics: they are for this machine alone: use 127.0.0.1:PORT")
	}
	return nil
}

// complete reads the keys of who may publish.
func (s *streamConfig) complete(path, base string) error {
	s.url = base + "/" + s.Name
	if s.MaxListeners < 0 {
		return fmt.Errorf("max-listeners: %d is too few: use 1 or more", s.MaxListeners)
	}
	for i := range s.Embed {
		if err := check("embed", &s.Embed[i]); err != nil {
			return err
		}
	}
	for _, text := range s.Keys {
		k, err := token.ParsePublicLine(text)
		if err != nil {
			return fmt.Errorf("keys: %w", err)
		}
		s.keys = append(s.keys, k)
	}
	if s.Secret != "" || s.SecretFile != "" {
		if info, err := os.Stat(path); s.Secret != "" && err == nil && info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
			return errors.New("secret: others may read this file: run chmod 600 on it, or use secret-file")
		}
		keys, err := token.KeyConfig{
			Name: secretKey, Method: "HS256", Secret: s.Secret, SecretFile: setting.Beside(path, s.SecretFile),
			Require: []string{"aud", "scope"},
		}.Keys()
		if err != nil {
			return errors.New(strings.TrimPrefix(err.Error(), "key "+secretKey+": "))
		}
		keys[0].Scopes = []string{token.ScopePublish} // who may publish need not listen
		s.keys = append(s.keys, keys...)
	}
	switch {
	case len(s.keys) == 0:
		return errors.New("keys: nobody could publish to it: give the line that earshot relay key prints on the laptop, or a secret")
	case len(s.Keys) == 0 && !s.Public:
		return errors.New("public: nobody could listen to it, since links take a laptop's key: set public = true, or give the laptop's line in keys, too")
	}
	return nil
}

// secretKey is what lists call the key of a shared secret.
const secretKey = "secret"
