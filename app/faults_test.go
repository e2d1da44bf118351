//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"earshot/audio"
	"earshot/audio/audiotest"
)

// Each file of the data folder, damaged in each way: the program starts all the
// same and says what it left out, or doesn't and says in one line which file that
// is and what to do. It never hangs, and never writes over what it could not read.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	r := launch(t, plainEnv(home), "--headless", "--source", "tone")
	r.must("link", "--name", "Ann")
	r.must("revoke", "--all")
	r.quit()
	whole := r.data
	for name, text := range map[string]string{
		"choices.json": `{"start":false}`, "sound.json": `{"output":"x"}`, "muted.json": `["x"]`, "relays.json": `{"relays":["http://127.0.0.1:1/radio"]}`,
	} {
		path := filepath.Join(whole, name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	damage := []struct {
		name string
		do   func(path string, text []byte) error
	}{
		{"empty", func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) }},
		{"cut off", func(path string, text []byte) error { return os.WriteFile(path, text[:len(text)/2], 0o600) }},
		{"zeros", func(path string, text []byte) error { return os.WriteFile(path, make([]byte, len(text)), 0o600) }},
		{"garbage", func(path string, _ []byte) error { return os.WriteFile(path, []byte("\xff\xfe{[\"garbage"), 0o600) }},
		{"a folder", func(path string, _ []byte) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o700)
		}},
		{"a link to nothing", func(path string, _ []byte) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Symlink("/nonexistent/x", path)
		}},
	}
	// What each file is worth: without it nobody may be let in, or nothing be
	// shared; or it can be done without, and the log says so.
	files := []struct {
		name string
		told string   // in the log of one that starts; "" for one that must not
		ok   []string // damages that do no harm
	}{
		{"key.pem", "", []string{"a link to nothing"}},
		{"links.json", "", []string{"a link to nothing"}},
		{"sound.json", "", []string{"a link to nothing"}},
		{"relays.json", "no relays", []string{"a link to nothing"}},
		{"choices.json", "settings as without the menu", []string{"a link to nothing"}},
		{"muted.json", "nothing can be muted", []string{"a link to nothing"}},
		{"earshot.log", "no log is kept", []string{"empty", "cut off", "zeros", "garbage"}},
		{"lock", "", []string{"empty", "cut off", "zeros", "garbage", "a link to nothing"}},
		{"control", "", []string{"empty", "cut off", "zeros", "garbage", "a folder", "a link to nothing"}},
	}
	for _, file := range files {
		for _, how := range damage {
			t.Run(file.name+" is "+how.name, func(t *testing.T) {
				data := filepath.Join(t.TempDir(), "data")
				if err := os.CopyFS(data, os.DirFS(whole)); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(data, 0o700); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(data, file.name)
				text, err := os.ReadFile(path)
				if err != nil {
					text = []byte("x")
					if err := os.WriteFile(path, text, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				for _, name := range []string{"key.pem", "links.json"} { // as they were
					if err := os.Chmod(filepath.Join(data, name), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if err := how.do(path, text); err != nil {
					t.Fatal(err)
				}
				damaged, _ := os.ReadFile(path)
				harmless := false
				for _, name := range file.ok {
					harmless = harmless || name == how.name
				}
				said, up := tryStart(t, home, data)
				switch {
				case harmless:
					if !up && !strings.Contains(said, path) {
						t.Errorf("it does not start: %s", said)
					}
				case file.told == "":
					if up || !strings.Contains(said, path) || strings.Contains(said, "panic") {
						t.Errorf("it is up: %v; it says\n%s", up, said)
					}
				default:
					if !up || !strings.Contains(said, file.told) || !strings.Contains(said, path) {
						t.Errorf("it is up: %v; it says\n%s\nwithout %q and %s", up, said, file.told, path)
					}
				}
				if now, _ := os.ReadFile(path); !harmless && !bytes.Equal(now, damaged) {
					t.Errorf("what was there was written over: %q", now)
				}
			})
		}
	}
}

// tryStart starts the program in a data folder that may be damaged, and returns
// what it says until it is ended, or ends by itself; up tells whether it came up.
func tryStart(t *testing.T, home, data string, in ...string) (said string, up bool) {
	t.Helper()
	cmd := earshot(t.Context(), t, plainEnv(home), "--data", data, "--headless", "--source", "tone", "--listen", "127.0.0.1:0")
	if len(in) > 0 {
		cmd.Path, cmd.Args = "", append(in, cmd.Args...)
		cmd.Path, _ = exec.LookPath(in[0])
	}
	var log output
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(deadline):
			t.Error("it does not end")
			_ = cmd.Process.Kill()
			<-ended
		}
		said = log.String()
	}()
	for end := time.Now().Add(deadline); ; time.Sleep(10 * time.Millisecond) {
		select {
		case <-ended:
			return "", false
		default:
		}
		if strings.Contains(log.String(), "For a share link") {
			return "", true
		}
		if time.Now().After(end) {
			t.Fatalf("it neither starts nor ends:\n%s", log.String())
		}
	}
}

// Who floods a program that may have few file descriptors, with more connections
// than those: its listeners hear everything, its owner can do everything, others
// get in when it is over, and the log is short.
func TestFewDescriptors(t *testing.T) {
	const (
		files = 160
		spare = 64 // for the rest of the program
	)
	r := &running{t: t, env: plainEnv(t.TempDir()), data: filepath.Join(t.TempDir(), "data"), log: &output{}}
	r.in = []string{"prlimit", fmt.Sprintf("--nofile=%d:%d", files, files)}
	r.start("--listen", "127.0.0.1:0", "--headless", "--source", "tone", "--start")
	conn, _, _ := r.listen(r.made().Token)
	heard := follow(t, conn)
	addr, tok := r.address(), r.made().Token
	waitFor(t, "sound", func() bool { n, _, _ := heard(); return n > 10 })

	lines := strings.Count(r.log.String(), "\n")
	began := time.Now()
	var all []net.Conn
	for range files { // with a good link
		header := map[string][]string{"Token": {tok}}
		if c, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/listen", header); err == nil {
			all = append(all, c.NetConn())
		}
	}
	if n := r.status().Listeners; n < 20 || n > files-spare {
		t.Errorf("%d may listen, with %d descriptors", n, files)
	}
	for i := range 4 * files { // and without one, of addresses enough for all descriptors
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, byte(1+i%8))}, Timeout: time.Second}
		if c, err := d.Dial("tcp", addr); err == nil {
			all = append(all, c)
		}
	}
	r.must("link", "--name", "Ann")
	for time.Since(began) < 3*time.Second {
		r.must("listeners")
	}
	for _, c := range all {
		_ = c.Close()
	}
	if n := strings.Count(r.log.String(), "\n") - lines; n > 200+int(time.Since(began).Seconds())*7 {
		t.Errorf("%d lines are logged", n)
	}
	if strings.Contains(r.log.String(), "too many open files") {
		t.Errorf("descriptors ran out:\n%.2000s", r.log)
	}
	if n, missed, longest := heard(); missed > 0 || longest > time.Second {
		t.Errorf("who listened missed %d of %d packets, and waited %v", missed, n, longest)
	}
	waitFor(t, "somebody else gets in", func() bool {
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/listen", map[string][]string{"Token": {tok}})
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// Where the control socket can take no connection, the log says so, and not what
// nobody reads; and it answers again by itself.
func TestControlCantAccept(t *testing.T) {
	t.Parallel()
	r := launch(t, plainEnv(t.TempDir()), "--headless", "--source", "tone")
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var was unix.Rlimit
	if err := unix.Prlimit(r.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &was); err != nil {
		t.Fatal(err)
	}
	few := unix.Rlimit{Cur: uint64(len(fds)), Max: was.Max}
	if err := unix.Prlimit(r.cmd.Process.Pid, unix.RLIMIT_NOFILE, &few, nil); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", filepath.Join(r.data, "control"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	logged := func() string {
		text, err := os.ReadFile(filepath.Join(r.data, "earshot.log"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	waitFor(t, "the log says it", func() bool {
		return strings.Contains(logged(), `msg="trouble with the control socket"`) && strings.Contains(logged(), "too many open files")
	})
	if err := unix.Prlimit(r.cmd.Process.Pid, unix.RLIMIT_NOFILE, &was, nil); err != nil {
		t.Fatal(err)
	}
	r.must("status")
	if said := r.log.String(); strings.Contains(said, "http: Accept") && strings.Count(said, "http: Accept") != strings.Count(logged(), "http: Accept") {
		t.Errorf("there is more than in the log:\n%s", said)
	}
}

// follow reads a connection, and tells how many packets came, how many were
// missing, and the longest wait for one.
func follow(t testing.TB, conn *websocket.Conn) func() (heard, missed int, longest time.Duration) {
	heard, loud := followLoud(t, conn)
	_ = loud
	return heard
}

// followLoud is follow, and when the last packet came that is no silence.
func followLoud(t testing.TB, conn *websocket.Conn) (heard func() (int, int, time.Duration), loud func() time.Time) {
	type state struct {
		heard, missed int
		longest       time.Duration
		loud          time.Time
	}
	now := make(chan state)
	packets := make(chan audio.Packet)
	done := make(chan struct{})
	go func() {
		defer close(packets)
		for {
			kind, message, err := conn.ReadMessage()
			if err != nil {
				return
			}
			if all, err := audio.ParseMessage(message); err == nil && kind == websocket.BinaryMessage {
				for _, p := range all {
					packets <- p
				}
			}
		}
	}()
	stop := make(chan struct{})
	go func() {
		defer close(done)
		var s state
		var next uint32
		var last time.Time
		in := packets
		for {
			select {
			case p, open := <-in:
				if !open {
					in = nil
					continue
				}
				if s.heard > 0 {
					s.missed += int(int32(p.Seq - next))
					s.longest = max(s.longest, time.Since(last))
				}
				s.heard, next, last = s.heard+1, p.Seq+1, time.Now()
				if len(p.Data) > 60 {
					s.loud = last
				}
			case now <- s:
			case <-stop:
				if in == nil {
					return
				}
				for range in {
				}
				return
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); close(stop); <-done })
	return func() (int, int, time.Duration) { s := <-now; return s.heard, s.missed, s.longest },
		func() time.Time { s := <-now; return s.loud }
}

// The disk is full, or may only be read: what is asked for is refused with the
// reason, all that was stays, listeners go on, and with room again so does
// everything. (A disk of its own takes root.)
func TestAsRootFullDisk(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		break_     func(data string) (mend func() error, err error)
	}{
		{"full", "no space left", func(data string) (func() error, error) {
			path := filepath.Join(data, "ballast")
			err := os.WriteFile(path, make([]byte, 1<<20), 0o600)
			if err == nil {
				return nil, fmt.Errorf("the disk is not full")
			}
			return func() error { return os.Remove(path) }, nil
		}},
		{"read-only", "read-only file system", func(data string) (func() error, error) {
			// Another mount over it, since the log is open for writing in this one.
			if err := syscall.Mount(data, data, "", syscall.MS_BIND, ""); err != nil {
				return nil, err
			}
			return func() error { return syscall.Unmount(data, syscall.MNT_DETACH) },
				syscall.Mount("", data, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(data, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size=256k,mode=700"); err != nil {
				t.Fatalf("a disk of its own takes root, and in a container --privileged: %v", err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
			r := &running{t: t, env: plainEnv(t.TempDir()), data: data, log: &output{}}
			args := []string{"--listen", "127.0.0.1:0", "--headless", "--source", "tone", "--start"}
			r.start(args...)
			ann := r.made("--name", "Ann")
			conn, _, _ := r.listen(ann.Token)
			heard := follow(t, conn)
			mend, err := tt.break_(data)
			if err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"link"}, {"revoke", ann.ID}, {"revoke", "--all"}, {"key", "rotate"}, {"relay", "add", "ws://127.0.0.1:1/radio"}} {
				got := r.run(args...)
				if got.status != exitFailure || !strings.Contains(got.err, tt.want) {
					t.Errorf("%v: status %d, %q", args, got.status, got.err)
				}
			}
			r.must("status")
			r.must("stop")
			r.must("start")
			if _, status, _ := r.listen(ann.Token); status != 101 {
				t.Errorf("who had a link gets %d", status)
			}
			if err := mend(); err != nil {
				t.Fatal(err)
			}
			if links := r.listed(); len(links) != 1 || links[0].Name != "Ann" {
				t.Errorf("links %+v", links)
			}
			r.must("link", "--name", "Bob")
			r.must("revoke", ann.ID)
			if _, missed, _ := heard(); missed != 0 {
				t.Errorf("who listens missed %d packets", missed)
			}
			r.quit()
			r.start(args...)
			if links := r.listed(); len(links) != 2 {
				t.Errorf("after a new start: links %+v", links)
			}
			if _, status, word := r.listen(ann.Token); status != 401 || word != "withdrawn" {
				t.Errorf("who was withdrawn gets %d %s", status, word)
			}
		})
	}
}

// The sound server is frozen, or killed, whatever the program is doing: it says
// so, answers its owner meanwhile, and the sound comes back by itself to who
// listens, who missed no packet.
func TestSoundServerFaults(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault func(r *running, s *audiotest.Server)
	}{
		{"killed", func(_ *running, s *audiotest.Server) { s.Kill() }},
		{"frozen", func(_ *running, s *audiotest.Server) { s.Freeze() }},
		{"frozen, then killed", func(_ *running, s *audiotest.Server) { s.Freeze(); time.Sleep(time.Second); s.Kill() }},
		{"frozen while the owner stops and starts", func(r *running, s *audiotest.Server) {
			s.Freeze()
			r.must("stop")
			r.must("start")
		}},
		{"killed while the owner stops and starts", func(r *running, s *audiotest.Server) {
			s.Kill()
			r.must("stop")
			r.must("start")
		}},
		{"killed just after the owner starts", func(r *running, s *audiotest.Server) {
			r.must("stop")
			r.must("start")
			s.Kill()
		}},
		{"frozen just after the owner starts", func(r *running, s *audiotest.Server) {
			r.must("stop")
			r.must("start")
			s.Freeze()
		}},
		{"killed again as soon as it is back", func(_ *running, s *audiotest.Server) { s.Kill(); s.Start(); s.Kill() }},
		{"killed while the output changes", func(_ *running, s *audiotest.Server) {
			s.LoadSink("headphones")
			s.Pactl("set-default-sink", "headphones")
			s.Kill()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sound := audiotest.StartPulse(t, "speakers")
			sound.PlaySine("speakers", 997)
			r := launch(t, append(sound.Env(), "XDG_CONFIG_HOME="+t.TempDir(), "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent"),
				"--headless", "--source", "loopback", "--start")
			conn, _, _ := r.listen(r.made().Token)
			heard, loud := followLoud(t, conn)
			waitFor(t, "sound", func() bool { return !loud().IsZero() })
			tt.fault(r, sound)
			r.waitStatus("trouble is told", func(s status) bool { return s.State == stateTrouble && strings.Contains(s.Trouble, "sound server") })
			begin := time.Now()
			r.must("link")
			r.must("stop")
			r.must("start")
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("its owner waits %v", took)
			}
			sound.Thaw()
			if strings.Contains(tt.name, "killed") {
				sound.Start()
				sound.PlaySine("speakers", 997)
			}
			back := time.Now()
			waitFor(t, "the sound is back", func() bool { return loud().After(back) })
			t.Logf("the sound is back after %v", time.Since(back))
			if _, missed, _ := heard(); missed != 0 {
				t.Errorf("%d packets are missing", missed)
			}
			sound.Freeze()
			defer sound.Thaw()
			if status := r.quit(); status != 0 {
				t.Errorf("with a frozen server it ends with %d", status)
			}
		})
	}
}
