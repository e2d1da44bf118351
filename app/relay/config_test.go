package main

import (
	"bytes"
	"earshot/server/relay/relaytest"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot/server/token"
	"earshot/server/uplink"
)

// command runs earshot-relay with a config file.
func command(t *testing.T, text string, args ...string) (status int, out, errs string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relay.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var o, e bytes.Buffer
	status = run(append([]string{"--config", path}, args...), &o, &e)
	return status, o.String(), e.String()
}

// line is a public key's.
func line(t *testing.T) string {
	t.Helper()
	key, err := token.OpenKey(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return key.PublicLine("ann@laptop")
}

// Each mistake is told in one line that names the file and what to do.
func TestWrongConfig(t *testing.T) {
	key := "keys = [\"" + line(t) + "\"]\n"
	good := "url = \"https://radio.example\"\nlisten = \"127.0.0.1:0\"\n"
	stream := "[[stream]]\nname = \"a\"\n"
	tests := map[string]struct{ text, want string }{
		"nothing":            {"", "url: say where"},
		"no TOML":            {"url =", "line 1, column"},
		"unknown key":        {good + "tite = 1\n", "line 3: tite: no such setting: use one of listen, url"},
		"unknown of stream":  {good + stream + key + "tite = 1\n", "stream.tite: no such setting of a stream: use one of name, title"},
		"bad url":            {"url = \"radio.example\"\n", "http(s)://HOST"},
		"url with a path":    {"url = \"https://radio.example/x\"\n", "http(s)://HOST"},
		"no address":         {"listen = \"443\"\nurl = \"https://radio.example\"\n", "no address to listen on"},
		"unknown of nats":    {good + "[nats]\nurl = 1\n" + stream + key, "nats.url: no such setting of nats: use one of urls, credentials"},
		"bad nats url":       {good + "[nats]\nurls = [\"nats.example\"]\n" + stream + key, "write it like tls://"},
		"no nats url":        {good + "[nats]\ncredentials = \"x\"\n" + stream + key, "nats: say where the servers are"},
		"wrong type":         {good + "acme = \"yes\"\n", "acme"},
		"no stream":          {good, "stream: there is none"},
		"no name":            {good + "[[stream]]\n" + key, "no name for a stream"},
		"bad name":           {good + "[[stream]]\nname = \"A b\"\n" + key, "no name for a stream"},
		"reserved name":      {good + "[[stream]]\nname = \"static\"\n" + key, "choose another"},
		"twice":              {good + stream + key + stream + key, "two of this name"},
		"nobody publishes":   {good + stream, "nobody could publish"},
		"bad key":            {good + stream + "keys = [\"x\"]\n", "earshot relay key"},
		"short secret":       {good + stream + "secret = \"x\"\n", "fewer than 32 bytes"},
		"no secret file":     {good + stream + "secret-file = \"x\"\n", "no such file"},
		"bad site":           {good + stream + key + "embed = [\"*\"]\n", "is no site"},
		"half a certificate": {"tls-cert = \"x\"\n" + good + stream + key, "belong together"},
		"acme and http":      {"acme = true\nurl = \"http://radio.example\"\n" + stream + key, "must begin with https"},
		"open metrics":       {"metrics = \":9277\"\n" + good + stream + key, "this machine alone"},
		"profiles nowhere":   {"profiles = true\nmetrics = \"\"\n" + good + stream + key, "beside the metrics"},
		"bad proxy":          {"trusted-proxies = [\"x\"]\n" + good + stream + key, "is no address"},
		"bad drain":          {"drain = \"soon\"\n" + good + stream + key, "drain: \"soon\" is no short while"},
		"endless drain":      {"drain = \"forever\"\n" + good + stream + key, "a minute (1m) at most"},
		"long drain":         {"drain = \"2m\"\n" + good + stream + key, "a minute (1m) at most"},
		"nobody listens":     {good + stream + "secret = \"0123456789abcdef0123456789abcdef\"\n", "public: nobody could listen"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, args := range [][]string{{}, {"check"}, {"token", "a"}} {
				status, _, errs := command(t, tt.text, args...)
				if status != exitUsage || !strings.Contains(errs, tt.want) || !strings.Contains(errs, "relay.toml") || strings.Count(errs, "\n") != 1 {
					t.Errorf("%v: status %d, %q lacks %q", args, status, errs, tt.want)
				}
			}
		})
	}
	if status, _, errs := command(t, good+stream+key, "token", "a"); status != exitFailure || !strings.Contains(errs, "no shared secret") {
		t.Errorf("token without a secret: %d %s", status, errs)
	}
	if status, _, errs := command(t, good+stream+key, "token", "b"); status != exitUsage || !strings.Contains(errs, `no stream "b": use a`) {
		t.Errorf("token of no stream: %d %s", status, errs)
	}
	var o, e bytes.Buffer
	if status := run([]string{"--config", "/nonexistent/relay.toml"}, &o, &e); status != exitUsage || !strings.Contains(e.String(), "--config") {
		t.Errorf("no file: %d %s", status, e.String())
	}
}

func TestCheck(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	rest := "listen = \"127.0.0.1:0\"\nmetrics = \"\"\ndata = \"" + data + "\"\n[[stream]]\nname = \"a\"\nkeys = [\"" + line(t) + "\"]\n"
	if status, out, errs := command(t, "url = \"http://127.0.0.1:9000\"\n"+rest, "check"); status != 0 || strings.Contains(out, "WRONG") || !strings.Contains(out, "http://127.0.0.1:9000/a") {
		t.Errorf("good: %d\n%s%s", status, out, errs)
	}
	if status, out, _ := command(t, "url = \"https://localhost\"\n"+rest, "check"); status != exitFailure || !strings.Contains(out, "trusted-proxies") {
		t.Errorf("https by nobody: %d\n%s", status, out)
	}
	if status, out, _ := command(t, "url = \"http://nowhere.invalid\"\n"+rest, "check"); status != exitFailure || !strings.Contains(out, "A or AAAA record") {
		t.Errorf("no name: %d\n%s", status, out)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, out, _ := command(t, "url = \"http://127.0.0.1\"\n"+strings.Replace(rest, "127.0.0.1:0", ln.Addr().String(), 1), "check"); !strings.Contains(out, "something listens there already") {
		t.Errorf("port that is taken:\n%s", out)
	}
}

// Check tries the servers that it is told of, and says what they are to do.
func TestCheckNATS(t *testing.T) {
	c := relaytest.NewCluster(t)
	table := "url = \"http://127.0.0.1:9000\"\nlisten = \"127.0.0.1:0\"\nmetrics = \"\"\ndata = \"" + t.TempDir() + "\"\n[[stream]]\nname = \"a\"\nkeys = [\"" + line(t) + "\"]\n[nats]\n"
	good := fmt.Sprintf("urls = [%q, %q]\n", c.Nodes[0].URL(), c.Nodes[1].URL())
	eventually(t, patience, "all is well", func() bool { // once they have elected a leader
		status, out, _ := command(t, table+good, "check")
		return status == 0 && strings.Count(out, "ok     nats server") == 2 && strings.Contains(out, "ok     nats: what must last")
	})
	c.Nodes[1].Kill()
	if status, out, _ := command(t, table+good, "check"); status != exitFailure || !strings.Contains(out, "WRONG  nats server "+c.Nodes[1].URL()) || !strings.Contains(out, "nothing answers there") {
		t.Errorf("one of them is dead: %d\n%s", status, out)
	}
}

// The example that README names is right once the key is in it.
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../build/relay/relay.toml")
	if err != nil {
		t.Fatal(err)
	}
	example := strings.Replace(string(text), "ed25519 PUT-THE-LINE-HERE", line(t), 1)
	path := filepath.Join(t.TempDir(), "relay.toml")
	if err := os.WriteFile(path, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readConfig(path); err != nil {
		t.Error(err)
	}
	// And so is what it names but leaves out.
	var all []string
	for _, l := range strings.Split(example, "\n") {
		if rest, off := strings.CutPrefix(l, "# "); off && strings.Contains(rest, " = ") && !strings.HasPrefix(rest, "tls-") && !strings.HasPrefix(rest, "secret") {
			l = rest
		}
		all = append(all, l)
	}
	if err := os.WriteFile(path, []byte(strings.Join(all, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := readConfig(path); err != nil || !c.ACME || !c.Streams[0].Public {
		t.Errorf("%+v, %v", c, err)
	}
}

// Tokens are for the url in lower case, as the laptop writes it, and a shared
// secret is good for publishing alone.
func TestTokensOfAStream(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	path := filepath.Join(t.TempDir(), "relay.toml")
	text := "url = \"HTTPS://Radio.EXAMPLE.org:443\"\n[[stream]]\nname = \"a\"\nkeys = [\"" + line(t) + "\"]\nsecret = \"" + secret + "\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := readConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Streams[0]
	u, err := uplink.ParseURL("wss://RADIO.example.org/a")
	if err != nil || s.url != u.String() {
		t.Errorf("tokens are for %s, the laptop's for %s, %v", s.url, u, err)
	}
	v := token.Verifier{Audience: s.url, Now: time.Now}
	v.Use(s.keys...)
	for scope, good := range map[string]bool{token.ScopePublish: true, token.ScopeListen: false, token.ScopeIssue: false} {
		raw, err := token.SignSecret([]byte(secret), token.Grant{Audience: u.String(), Scope: scope, For: time.Minute}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(raw, scope); (err == nil) != good {
			t.Errorf("a token by the secret, to %s: %v", scope, err)
		}
	}
}
