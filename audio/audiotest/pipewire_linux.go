package audiotest

import (
	"os"
	"path/filepath"
	"testing"
)

// StartPipeWire starts PipeWire with WirePlumber and pipewire-pulse, and with
// these sinks, which play into nothing; the first is the default output. It
// stays away from the machine's sound cards.
func StartPipeWire(t testing.TB, sinks ...string) *Server {
	t.Helper()
	need(t, "pipewire", "pipewire", "wireplumber", "wireplumber", "pipewire-pulse", "pipewire-pulse",
		"dbus-daemon", "dbus", "pactl", "pulseaudio-utils", "pacat", "pulseaudio-utils")
	s := newServer(t, sinks)
	s.boot = s.bootPipeWire
	// WirePlumber 0.4 reads the first, 0.5 the second.
	s.write("config/wireplumber/main.lua.d/90-no-hardware.lua", `
alsa_monitor.enabled = false
v4l2_monitor.enabled = false
libcamera_monitor.enabled = false
`)
	s.write("config/wireplumber/wireplumber.conf.d/90-no-hardware.conf", `
wireplumber.profiles = { main = { hardware.audio = disabled, hardware.video-capture = disabled, hardware.bluetooth = disabled } }
`)
	s.Start()
	return s
}

func (s *Server) bootPipeWire() []*process {
	s.t.Helper()
	var processes []*process
	run := func(socket, name string, args ...string) {
		s.t.Helper()
		os.Remove(filepath.Join(s.dir, socket)) // of a server that was killed
		processes = append(processes, start(s.t, s.daemon(name, args...)))
		Poll(s.t, name+" does not listen", func() bool {
			_, err := os.Stat(filepath.Join(s.dir, socket))
			return err == nil
		})
	}
	// WirePlumber ends at once where there is no session bus.
	run("bus", "dbus-daemon", "--session", "--nofork", "--nopidfile",
		"--address=unix:path="+filepath.Join(s.dir, "bus"))
	run("pipewire-0", "pipewire")
	processes = append(processes, start(s.t, s.daemon("wireplumber")))
	run("pulse/native", "pipewire-pulse")
	Poll(s.t, "pipewire-pulse does not answer", s.answers)
	s.loadSinks()
	return processes
}

// write makes a configuration file of the server's.
func (s *Server) write(path, text string) {
	s.t.Helper()
	path = filepath.Join(s.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}
