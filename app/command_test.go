package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot/server/token"
)

// writeConfig writes the config file of the user at home.
func writeConfig(t *testing.T, home, text string) string {
	t.Helper()
	path := filepath.Join(home, "config", "earshot", "config.toml")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is wrong in a setting is said in one line that names the place and what
// would be right, and the exit status is 2.
func TestWrongSettings(t *testing.T) {
	tests := []struct {
		config string
		env    string
		args   string
		want   []string
	}{
		{config: `bitrate = "9m"`, want: []string{"config.toml: bitrate: ", "6k to 510k"}},
		{config: `bitrate = 5999`, want: []string{"config.toml: bitrate: ", "6k to 510k"}},
		{config: `bitrat = 1`, want: []string{"config.toml: bitrat: ", "bitrate, data, embed"}},
		{config: `origins = ["blog.example"]`, want: []string{"config.toml: origins: ", "http(s)://HOST"}},
		{config: `trusted-proxies = "10.0.0.0/99"`, want: []string{"config.toml: trusted-proxies: ", "10.0.0.0/8"}},
		{config: `tls-cert = "x.pem"`, want: []string{"tls-cert and tls-key"}},
		{config: "key = 1", want: []string{"config.toml: key: ", "[[key]]"}},
		{config: "[[key]]\nnam = \"x\"", want: []string{"config.toml: ", "nam"}},
		{config: "[[key]]\nname = \"x\"\n[[key]]\nname = \"x\"", want: []string{"config.toml: key: ", "two have the name"}},
		{config: `name = "x"`, want: []string{"config.toml: name: no such setting"}},
		{config: `notify = "mail"`, want: []string{"config.toml: notify: ", "first-listener"}},
		{config: `notify = ["none", "link"]`, want: []string{"notify: none goes with nothing else"}},
		{config: `frame = 15`, want: []string{"config.toml: frame: ", "60ms"}},
		{config: `start = "yes"`, want: []string{"config.toml: start: ", "true or false"}},
		{config: `listen = ["x"]`, want: []string{"config.toml: listen: ", `listen = "`}},
		{config: `listen = "3277"`, want: []string{"config.toml: listen: ", ":3277"}},
		{config: `public-url = "radio.example"`, want: []string{"config.toml: public-url: ", "http(s)://HOST"}},
		{config: `source = "mic"`, want: []string{"config.toml: source: ", "file:PATH.wav"}},
		{config: `log-level = "loud"`, want: []string{"config.toml: log-level: ", "debug"}},
		{config: "title = \"x\"\nstart true", want: []string{"config.toml: line 2", "KEY = VALUE"}},
		{env: "EARSHOT_FRAME=7", want: []string{"EARSHOT_FRAME: ", "5ms"}},
		{env: "EARSHOT_START=perhaps", want: []string{"EARSHOT_START: ", "true or false"}},
		{env: "EARSHOT_LOG_FORMAT=xml", want: []string{"EARSHOT_LOG_FORMAT: ", "json"}},
		{args: "--bitrate 511k", want: []string{"--bitrate: ", "6k to 510k"}},
		{args: "--nonsense", want: []string{"--nonsense"}},
		{args: "link --for 11y", want: []string{"--for: ", "24h"}},
		{args: "link --for 600w", want: []string{"--for: ", "24h"}},
		{args: "--headless --profile :6060", want: []string{"--profile: ", "127.0.0.1:PORT"}},
		{args: "--headless --source file:/nonexistent.wav", want: []string{"/nonexistent.wav"}},
	}
	for _, tt := range tests {
		t.Run(tt.config+tt.env+tt.args, func(t *testing.T) {
			home := t.TempDir()
			if tt.config != "" {
				writeConfig(t, home, tt.config)
			}
			args := strings.Fields(tt.args)
			if len(args) == 0 {
				args = []string{"status"}
			}
			got := command(t, append(plainEnv(home), tt.env), args...)
			if got.status != exitUsage || got.out != "" || strings.Count(got.err, "\n") != 1 {
				t.Errorf("status %d, printed %q, %q", got.status, got.out, got.err)
			}
			for _, want := range tt.want {
				if !strings.Contains(got.err, want) {
					t.Errorf("%q lacks %q", got.err, want)
				}
			}
		})
	}
}

func TestUnreadableConfig(t *testing.T) {
	home := t.TempDir()
	path := writeConfig(t, home, "")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	got := command(t, plainEnv(home), "status")
	if got.status != exitUsage || !strings.Contains(got.err, path) || strings.Count(got.err, "\n") != 1 {
		t.Errorf("status %d, %q", got.status, got.err)
	}
}

// A flag comes before the environment, that before the config file.
func TestPrecedence(t *testing.T) {
	home := t.TempDir()
	title := func(env []string, args ...string) string {
		r := launch(t, append(plainEnv(home), env...), append([]string{"--headless"}, args...)...)
		defer r.quit()
		return r.status().Title
	}
	env := []string{"EARSHOT_TITLE=environment"}
	if got := title(nil); got == "" || got == "file" {
		t.Errorf("default title %q", got)
	}
	writeConfig(t, home, "title = \"file\"\nframe = 10\nbitrate = \"64k\"\nstart = true\n")
	if got := title(nil); got != "file" {
		t.Errorf("title %q, want the file's", got)
	}
	if got := title(env); got != "environment" {
		t.Errorf("title %q, want the environment's", got)
	}
	if got := title(env, "--title", "flag"); got != "flag" {
		t.Errorf("title %q, want the flag's", got)
	}
}

func TestNotRunning(t *testing.T) {
	home := t.TempDir()
	for _, what := range []string{"start", "stop", "status", "listeners"} {
		got := command(t, plainEnv(home), what)
		if got.status != exitNotRunning || got.out != "" || !strings.Contains(got.err, "not running") {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

func TestStartAndStop(t *testing.T) {
	r := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone")
	if st := r.status(); st.State != stateStopped || st.Since != nil || st.Output != "" {
		t.Errorf("at first: %+v", st)
	}
	if got := r.must("start"); !strings.HasPrefix(got, "Live") {
		t.Errorf("start says %q", got)
	}
	r.waitStatus("it is live", func(st status) bool {
		return st.State == stateLive && st.Since != nil && strings.Contains(st.Output, "test tone")
	})
	if got := r.must("listeners"); !strings.Contains(got, "Nobody") {
		t.Errorf("listeners: %q", got)
	}
	if got := r.must("listeners", "--json"); got != "[]" {
		t.Errorf("listeners --json: %q", got)
	}
	if got := r.must("stop"); got != "Stopped" {
		t.Errorf("stop says %q", got)
	}
	if status := r.quit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if got := r.run("status"); got.status != exitNotRunning {
		t.Errorf("after the end: %+v", got)
	}
}

// Without a sound server auto takes the tone, and says so.
func TestAutoWithoutSound(t *testing.T) {
	r := launch(t, plainEnv(t.TempDir()), "--headless", "--start")
	r.waitStatus("the test tone", func(st status) bool {
		return st.State == stateLive && strings.Contains(st.Output, "test tone")
	})
}

func TestNoDesktop(t *testing.T) {
	r := launch(t, plainEnv(t.TempDir()), "--source", "tone", "--start")
	waitFor(t, "it says that there is no tray", func() bool {
		return strings.Contains(r.log.String(), "without a tray")
	})
	if got := r.status().State; got != stateLive {
		t.Errorf("state %q", got)
	}
}

func TestPortTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	got := command(t, plainEnv(t.TempDir()), "--headless", "--listen", ln.Addr().String())
	if got.status != exitFailure || !strings.Contains(got.err, "port "+port) || !strings.Contains(got.err, "--listen") {
		t.Errorf("%+v", got)
	}
}

// A setting is for every start of its own; what was stopped since stays so.
func TestSecondStartLeavesStopped(t *testing.T) {
	home := t.TempDir()
	env := plainEnv(home)
	writeConfig(t, home, "start = true\nsource = \"tone\"\n")
	r := launch(t, env, "--headless")
	if got := r.status().State; got != stateLive {
		t.Errorf("state %q", got)
	}
	r.must("stop")
	r.must("--headless")
	if got := r.status().State; got != stateStopped {
		t.Errorf("after a second start: %q", got)
	}
	r.must("--headless", "--start")
	if got := r.status().State; got != stateLive {
		t.Errorf("after one with --start: %q", got)
	}
}

func TestSecondStart(t *testing.T) {
	r := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone")
	if got := r.must("--headless"); !strings.Contains(got, "already running") {
		t.Errorf("second start says %q", got)
	}
	if got := r.status().State; got != stateStopped {
		t.Errorf("state %q", got)
	}
	r.must("--headless", "--start")
	if got := r.status().State; got != stateLive {
		t.Errorf("after a second start with --start: state %q", got)
	}
	other := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone")
	if r.status().PID == other.status().PID {
		t.Error("two data folders, one Earshot")
	}
}

// Of two that are started at the same time one runs, and the other says so.
func TestTwoStartsAtOnce(t *testing.T) {
	for range 5 {
		env, data := plainEnv(t.TempDir()), filepath.Join(t.TempDir(), "data")
		var both [2]*exec.Cmd
		ended := make(chan int, 2)
		for i := range both {
			both[i] = earshot(t.Context(), t, env, "--headless", "--source", "tone", "--listen", "127.0.0.1:0", "--data", data)
			if err := both[i].Start(); err != nil {
				t.Fatal(err)
			}
			go func() { _ = both[i].Wait(); ended <- i }()
		}
		second := <-ended
		if status := both[second].ProcessState.ExitCode(); status != 0 {
			t.Errorf("the second start ends with status %d", status)
		}
		if err := both[1-second].Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		<-ended
		if status := both[1-second].ProcessState.ExitCode(); status != 0 {
			t.Errorf("the first start ends with status %d", status)
		}
	}
}

// After kill -9, the next start finds neither its lock nor its socket in the
// way.
func TestKilled(t *testing.T) {
	r := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone")
	link := r.must("link", "--token")
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-r.done
	r.start("--headless", "--source", "tone", "--listen", "127.0.0.1:0")
	if status, body := r.get("/api/session", link); status != 200 {
		t.Errorf("a link from before: %d %s", status, body)
	}
}

func TestLink(t *testing.T) {
	env := plainEnv(t.TempDir())
	r := &running{t: t, env: env, data: filepath.Join(t.TempDir(), "data")}
	offline := r.must("link", "--name", "Bob")
	if !strings.HasPrefix(offline, "http://") || !strings.Contains(offline, ":3277/#") || strings.Contains(offline, "\n") {
		t.Errorf("link before the first start: %q", offline)
	}
	for path, want := range map[string]os.FileMode{"": 0o700, "key.pem": 0o600} {
		info, err := os.Stat(filepath.Join(r.data, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q has mode %v, want %v (%v)", path, info.Mode().Perm(), want, err)
		}
	}
	if got := r.must("--public-url", "https://radio.example/", "link"); !strings.HasPrefix(got, "https://radio.example/#") {
		t.Errorf("link at the public URL: %q", got)
	}
	if got := r.run("--listen", "127.0.0.1:99", "link"); !strings.HasPrefix(got.out, "http://127.0.0.1:99/#") ||
		!strings.Contains(got.err, "this computer only") {
		t.Errorf("link to this computer: %+v", got)
	}

	key, err := token.OpenKey(filepath.Join(r.data, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	v := token.Verifier{Audience: token.AudienceDesktop, Now: time.Now}
	v.Use(key.Verify())
	claims, err := v.Verify(r.must("link", "--name", "Bob", "--for", "2d", "--token"), token.ScopeListen)
	if err != nil || claims.Name != "Bob" || time.Until(claims.Expires).Round(time.Minute) != 48*time.Hour {
		t.Errorf("token %+v, %v", claims, err)
	}

	// A running app is asked for its address, whatever the settings of the
	// command say.
	r.log = &output{}
	r.start("--headless", "--source", "tone", "--listen", "127.0.0.1:0")
	if got, want := r.must("link"), "http://"+r.address()+"/#"; !strings.HasPrefix(got, want) {
		t.Errorf("link %q, want %s…", got, want)
	}
}

func TestLongDataPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	got := command(t, plainEnv(t.TempDir()), "--headless", "--listen", "127.0.0.1:0", "--data", dir)
	if got.status != exitFailure || !strings.Contains(got.err, "shorter folder") {
		t.Errorf("%+v", got)
	}
}

func TestOpenDataFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := openData(dir); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v", info.Mode())
	}
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := openData(dir); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("a folder with files that is open to others: %v", err)
	}
}

// Profiles are there where they are asked for.
func TestProfile(t *testing.T) {
	addr := freePort(t)
	r := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone", "--profile", addr)
	if status, text := fetch(t, "http://"+addr+"/debug/pprof/goroutine?debug=1"); status != 200 || !strings.Contains(text, "main.(*engine).run") {
		t.Errorf("%d %.300s", status, text)
	}
	if status, _ := r.get("/debug/pprof/", ""); status != 404 {
		t.Errorf("to listeners: %d", status)
	}
	if status := r.quit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

func TestVersion(t *testing.T) {
	got := command(t, plainEnv(t.TempDir()), "version")
	for _, want := range []string{"earshot " + version, "commit ", "go1.", "libopus ", "miniaudio 0."} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q lacks %q", got.out, want)
		}
	}
}
