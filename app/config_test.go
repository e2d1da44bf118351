package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"earshot/server/token"
)

// Whatever is in a config file, it is read or refused in one line that names
// the file.
func FuzzConfig(f *testing.F) {
	for _, text := range []string{
		"listen = \":80\"\nframe = 10\nstart = true\ntrusted-proxies = [\"10.0.0.0/8\", \"::1\"]",
		"[[key]]\nname = \"blog\"\nmethod = \"HS256\"\nsecret = \"x\"\nrequire = [\"name\"]\nrequire-expiry = false",
		"[key]\nname = 1", "key = [[], {}]", "origins = [[\"x\"]]", "title = 1979-05-27", "a.b = 1", "=",
	} {
		f.Add(text)
	}
	parser, err := kong.New(&commands{})
	if err != nil {
		f.Fatal(err)
	}
	flags := settingsFlags(parser)
	if flags["listen"] == nil {
		f.Fatalf("no settings: %v", flags)
	}
	path := filepath.Join(f.TempDir(), "config.toml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var keys []token.KeyConfig
		values, err := readConfig(path, flags, &keys)
		if err != nil {
			if said := err.Error(); !strings.HasPrefix(said, path+": ") || strings.ContainsAny(said, "\n\r\x00\x1b") {
				t.Errorf("%q is refused with %q", text, said)
			}
			return
		}
		for name := range values {
			if flags[name] == nil {
				t.Errorf("%q is no setting", name)
			}
		}
	})
}
