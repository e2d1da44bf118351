package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"earshot/server/atomicfile"
)

// binary returns the path of earshot as the tests of this package run it: built
// once, from this tree.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("EARSHOT_BINARY"); path != "" { // where there is no go
		return path, nil
	}
	path := filepath.Join(scratch, "earshot")
	out, err := exec.Command("go", "build", "-tags", "nolibopusfile", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build earshot: %w\n%s", err, out)
	}
	return path, nil
})

// newText is what it writes.
const newText = "new"

// scratch is a folder of this run of the tests.
var scratch string

// writeVariable makes this program write a text to the file that it names, and end.
const writeVariable = "EARSHOT_TEST_WRITE"

func TestMain(m *testing.M) {
	if path := os.Getenv(writeVariable); path != "" {
		if err := atomicfile.Replace(path, []byte(newText), 0o600, nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(func() int {
		var err error
		if scratch, err = os.MkdirTemp("", "earshot-test-"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(scratch)
		status := m.Run()
		if err := goleak.Find(); err != nil && status == 0 {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
		return status
	}())
}

// earshot returns a command that runs the program.
func earshot(ctx context.Context, t testing.TB, env []string, args ...string) *exec.Cmd {
	t.Helper()
	built := binary
	if clocked(env) {
		built = clockedBinary
	}
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = env
	return cmd
}

// deadline bounds everything that a test waits for.
const deadline = 20 * time.Second

func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// plainEnv is the environment of a user at home who has no desktop, no sound
// server and no config file.
func plainEnv(home string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + home,
		"XDG_CONFIG_HOME=" + filepath.Join(home, "config"),
		"XDG_RUNTIME_DIR=" + home,
		"DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent",
		"DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent",
	}
}

// result is what a command has printed.
type result struct {
	out, err string
	status   int
}

// command runs earshot to its end.
func command(t testing.TB, env []string, args ...string) result {
	t.Helper()
	cmd := earshot(t.Context(), t, env, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// running is an Earshot that runs until the test ends.
type running struct {
	t    testing.TB
	cmd  *exec.Cmd
	env  []string
	data string
	in   []string // what runs it: nsenter and its arguments, say
	log  *output
	done chan struct{} // closed when it has ended
}

// output collects what a program prints while it runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// launch starts earshot on a free port of this computer and waits until it
// answers.
func launch(t testing.TB, env []string, args ...string) *running {
	t.Helper()
	r := &running{t: t, env: env, data: filepath.Join(t.TempDir(), "data"), log: &output{}}
	r.start(append([]string{"--listen", "127.0.0.1:0"}, args...)...)
	return r
}

// start starts the program in its data folder, for the first time or again.
func (r *running) start(args ...string) {
	r.t.Helper()
	r.cmd = earshot(context.Background(), r.t, r.env, append([]string{"--data", r.data}, args...)...)
	if len(r.in) > 0 {
		r.cmd = exec.Command(r.in[0], append(r.in[1:len(r.in):len(r.in)], r.cmd.Args...)...)
		r.cmd.Env = r.env
	}
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	done := make(chan struct{})
	cmd := r.cmd
	go func() { _ = cmd.Wait(); close(done) }()
	r.done = done
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		if r.t.Failed() {
			r.t.Logf("earshot printed:\n%s", r.log)
		}
	})
	waitFor(r.t, "earshot answers", func() bool {
		select {
		case <-done:
			r.t.Fatalf("earshot ended:\n%s", r.log)
		default:
		}
		return r.run("status").status == 0
	})
}

// run runs another earshot that talks to this one.
func (r *running) run(args ...string) result {
	r.t.Helper()
	return command(r.t, r.env, append([]string{"--data", r.data}, args...)...)
}

// must is run for what must succeed; it returns what was printed.
func (r *running) must(args ...string) string {
	r.t.Helper()
	got := r.run(args...)
	if got.status != 0 {
		r.t.Fatalf("earshot %s: status %d\n%s", strings.Join(args, " "), got.status, got.err)
	}
	return strings.TrimSpace(got.out)
}

// status asks for the program's status.
func (r *running) status() status {
	r.t.Helper()
	var st status
	if err := json.Unmarshal([]byte(r.must("status", "--json")), &st); err != nil {
		r.t.Fatal(err)
	}
	return st
}

// waitStatus waits until the program's status is as ok wants it.
func (r *running) waitStatus(what string, ok func(status) bool) {
	r.t.Helper()
	var st status
	for end := time.Now().Add(deadline); ; time.Sleep(20 * time.Millisecond) {
		if st = r.status(); ok(st) {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("waited in vain: %s; status %+v", what, st)
		}
	}
}

// link returns a new share link, on another host name if one is given.
func (r *running) link(host string) string {
	r.t.Helper()
	u, err := url.Parse(r.must("link", "--name", "Bob"))
	if err != nil {
		r.t.Fatal(err)
	}
	if host != "" {
		u.Host = host + ":" + u.Port()
	}
	return u.String()
}

// address is HOST:PORT that the program listens on.
func (r *running) address() string { return r.status().Listen }

// quit ends the program as Ctrl-C does and returns its exit status.
func (r *running) quit() int {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		r.t.Fatal(err)
	}
	select {
	case <-r.done:
	case <-time.After(deadline):
		r.t.Fatal("earshot does not quit")
	}
	return r.cmd.ProcessState.ExitCode()
}

// get asks the program's server for path with a token.
func (r *running) get(path, tok string) (status int, body string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), "GET", "http://"+r.address()+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+tok)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// picture keeps a screenshot for README, where build/pictures asks for that.
func picture(t testing.TB, name string, png []byte) {
	t.Helper()
	if len(png) == 0 {
		t.Fatalf("%s is empty", name)
	}
	dir := os.Getenv("EARSHOT_PICTURES")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name), png, 0o644); err != nil {
		t.Fatal(err)
	}
}
