package audiotest

import "testing"

// StartPulse starts a PulseAudio with these sinks, which play into nothing; the
// first is the default output. The server has no others, and none stands in
// when they are unloaded.
func StartPulse(t testing.TB, sinks ...string) *Server {
	t.Helper()
	need(t, "pulseaudio", "pulseaudio", "pactl", "pulseaudio-utils", "pacat", "pulseaudio-utils")
	s := newServer(t, sinks)
	s.pulse, s.boot = true, s.bootPulse
	s.Start()
	return s
}

func (s *Server) bootPulse() []*process {
	s.t.Helper()
	cmd := s.daemon("pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1",
		"--disable-shm=yes", "--realtime=no", "--high-priority=no", "--log-target=stderr", "--log-level=error",
		"-L", "module-native-protocol-unix auth-anonymous=1 socket="+s.socket)
	processes := []*process{start(s.t, cmd)}
	Poll(s.t, "PulseAudio does not answer", s.answers)
	s.loadSinks()
	return processes
}
