package audiotest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Server is a private sound server, reached through a socket of its own.
type Server struct {
	t      testing.TB
	dir    string
	socket string
	log    *os.File          // what the server's processes write
	sinks  []string          // loaded whenever the server starts
	pulse  bool              // PulseAudio, else PipeWire
	boot   func() []*process // starts the processes; clients are served when it returns

	processes []*process
}

// newServer returns a server that is not started.
func newServer(t testing.TB, sinks []string) *Server {
	t.Helper()
	// Not t.TempDir: a socket's path may have no more than 107 bytes.
	dir, err := os.MkdirTemp("", "earshot-sound-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{t: t, dir: dir, socket: filepath.Join(dir, "pulse", "native"), sinks: sinks}
	if err := os.Mkdir(filepath.Dir(s.socket), 0o700); err != nil {
		t.Fatal(err)
	}
	if s.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.log.Close()
		if log, err := os.ReadFile(s.log.Name()); t.Failed() && err == nil && len(log) > 0 {
			t.Logf("the sound server wrote:\n%s", log)
		}
	})
	return s
}

// Socket returns the path of the socket that clients connect to.
func (s *Server) Socket() string { return s.socket }

// Env returns the environment for a process that is to use this server: that
// of the test with the PULSE_ variables replaced.
func (s *Server) Env() []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "PULSE_") })
	return append(env, s.vars()...)
}

// Setenv makes this process use the server until the test ends.
func (s *Server) Setenv() {
	s.t.Helper()
	for _, kv := range s.vars() {
		name, value, _ := strings.Cut(kv, "=")
		s.t.Setenv(name, value)
	}
}

// vars returns the variables that lead libpulse to this server.
func (s *Server) vars() []string {
	return []string{
		"PULSE_SERVER=unix:" + s.socket,
		"PULSE_COOKIE=" + filepath.Join(s.dir, "cookie"),
	}
}

// Start starts the server again after Kill, with the sinks that it was made
// with.
func (s *Server) Start() {
	s.t.Helper()
	s.processes = s.boot()
}

// Kill ends the server as a crash would: at once, leaving its socket behind.
func (s *Server) Kill() {
	for _, p := range s.processes {
		p.kill()
	}
	s.processes = nil
}

// Freeze stops the server's processes: they keep their connections and answer
// nobody.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig os.Signal) {
	for _, p := range s.processes {
		p.cmd.Process.Signal(sig)
	}
}

// LoadSink adds a sink that plays into nothing. Properties are as pactl takes
// them: "device.description=Headphones", say.
func (s *Server) LoadSink(name string, properties ...string) {
	s.t.Helper()
	args := []string{"load-module", "module-null-sink", "sink_name=" + name, "rate=48000", "channels=2"}
	if s.pulse {
		args = append(args, "format=float32le", "norewinds=1")
	}
	if len(properties) > 0 {
		args = append(args, "sink_properties="+strings.Join(properties, " "))
	}
	s.Pactl(args...)
	Poll(s.t, "there is no sink "+name, func() bool { return s.has("sinks", name) })
}

// UnloadSink removes a sink.
func (s *Server) UnloadSink(name string) {
	s.t.Helper()
	s.unload("sink_name=" + name)
}

// LoadMicrophone adds a source on which a sine of hz sounds all the time, and
// makes it the default source. It is no sink's monitor.
func (s *Server) LoadMicrophone(name string, hz float64) {
	s.t.Helper()
	if s.pulse {
		s.Pactl("load-module", "module-sine-source", "source_name="+name, fmt.Sprintf("frequency=%.0f", hz))
	} else {
		pipe := filepath.Join(s.dir, name)
		s.Pactl("load-module", "module-pipe-source", "source_name="+name, "file="+pipe,
			"format=float32le", "rate=48000", "channels=2")
		// Opened for both, so that no side waits for the other to open.
		fifo, err := os.OpenFile(pipe, os.O_RDWR, 0)
		if err != nil {
			s.t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			io.Copy(fifo, newSine(hz)) // until it is closed
		}()
		s.t.Cleanup(func() { fifo.Close(); <-done })
	}
	Poll(s.t, "there is no source "+name, func() bool { return s.has("sources", name) })
	s.Pactl("set-default-source", name)
}

// SetDefaultSink makes a sink the default output and waits until it is.
func (s *Server) SetDefaultSink(name string) {
	s.t.Helper()
	s.Pactl("set-default-sink", name)
	Poll(s.t, name+" has not become the default sink", func() bool { return s.DefaultSink() == name })
}

// DefaultSink returns the name of the default output as the server tells it.
func (s *Server) DefaultSink() string {
	s.t.Helper()
	return strings.TrimSpace(s.Pactl("get-default-sink"))
}

// Muted tells whether a sink is muted.
func (s *Server) Muted(sink string) bool {
	s.t.Helper()
	return strings.TrimSpace(s.Pactl("get-sink-mute", sink)) == "Mute: yes"
}

// Clients returns how many connections the server has.
func (s *Server) Clients() int {
	s.t.Helper()
	return strings.Count(s.Pactl("list", "short", "clients"), "\n") - 1 // pactl is one
}

// Streams returns how many streams are recording.
func (s *Server) Streams() int {
	s.t.Helper()
	return strings.Count(s.Pactl("list", "short", "source-outputs"), "\n")
}

// Pactl runs pactl on the server and returns what it prints.
func (s *Server) Pactl(args ...string) string {
	s.t.Helper()
	out, err := s.command("pactl", args...).Output()
	if err != nil {
		s.t.Fatalf("pactl %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// command prepares a client of the server; it ends when the test does.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.t.Context(), name, args...)
	cmd.Env = s.Env()
	return cmd
}

// has tells whether pactl lists an object (a "sinks" or "sources") by that name.
func (s *Server) has(kind, name string) bool {
	s.t.Helper()
	for line := range strings.Lines(s.Pactl("list", "short", kind)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == name {
			return true
		}
	}
	return false
}

// unload unloads the module that has this argument.
func (s *Server) unload(argument string) {
	s.t.Helper()
	for line := range strings.Lines(s.Pactl("list", "short", "modules")) {
		if fields := strings.Fields(line); slices.Contains(fields, argument) {
			s.Pactl("unload-module", fields[0])
			return
		}
	}
	s.t.Fatalf("no module with %s is loaded", argument)
}

// daemon prepares a process of the server's own, cut off from the session that
// the test runs in; what it writes goes to the log.
func (s *Server) daemon(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + s.dir,
		"XDG_RUNTIME_DIR=" + s.dir,
		"XDG_CONFIG_HOME=" + filepath.Join(s.dir, "config"),
		"XDG_STATE_HOME=" + filepath.Join(s.dir, "state"),
		"PULSE_RUNTIME_PATH=" + filepath.Dir(s.socket),
		"DBUS_SESSION_BUS_ADDRESS=unix:path=" + filepath.Join(s.dir, "bus"),
	}
	return cmd
}

// answers tells whether the server serves clients.
func (s *Server) answers() bool { return s.command("pactl", "info").Run() == nil }

// loadSinks loads the sinks that a server starts with.
func (s *Server) loadSinks() {
	s.t.Helper()
	for _, sink := range s.sinks {
		s.LoadSink(sink)
	}
	if len(s.sinks) > 0 {
		s.SetDefaultSink(s.sinks[0])
	}
}
