//go:build linux

package fanout

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"earshot/audio"
	"earshot/server"
)

const (
	frame = 20 * time.Millisecond
	// opusSize makes a frame on the wire of 240 bytes, as 90 kb/s do.
	opusSize = 240 - 4 - audio.MessageOverhead
)

// clock is CLOCK_MONOTONIC, which all processes share.
func clock() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

// TestMain makes the program a server where it was started as one.
func TestMain(m *testing.M) {
	serve := map[string]func(net.Listener) error{
		"floor": floor, "hub": hub, "goroutines": goroutines, "capture": captures, "encode": encodes,
	}[os.Getenv("EARSHOT_FANOUT_SERVER")]
	if serve == nil {
		os.Exit(m.Run())
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		fmt.Println(ln.Addr())
		err = serve(ln)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// pace calls each once a frame until the standard input ends; where it came too
// late for some, at once, as a sound server hands over what has been recorded.
func pace(each func(seq uint32)) {
	done := ended()
	tick := time.NewTicker(frame)
	defer tick.Stop()
	begun, seq := time.Now(), uint32(0)
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			for ; time.Duration(seq)*frame <= time.Since(begun); seq++ {
				each(seq)
			}
		}
	}
}

// ended is closed when the standard input ends.
func ended() <-chan struct{} {
	done := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(done) }()
	return done
}

func packet(seq uint32) audio.Packet {
	return audio.Packet{Seq: seq, At: clock(), Data: make([]byte, opusSize)}
}

// floor writes the frames that the hub would in two bare loops: what the kernel
// asks for.
func floor(ln net.Listener) error {
	var mu sync.Mutex
	var sockets [2][]int
	go func() {
		var all []net.Conn
		accept(ln, func(conn net.Conn) {
			raw, err := conn.(*net.TCPConn).SyscallConn()
			if err != nil {
				return
			}
			mu.Lock()
			_ = raw.Control(func(fd uintptr) { sockets[len(all)%2] = append(sockets[len(all)%2], int(fd)) })
			mu.Unlock()
			all = append(all, conn) // or the collector closes it
		})
	}()
	var frames [2]chan []byte
	for i := range frames {
		frames[i] = make(chan []byte, 100)
		go func() {
			for f := range frames[i] {
				mu.Lock()
				all := sockets[i]
				sockets[i] = nil
				mu.Unlock()
				open := all[:0]
				for _, fd := range all {
					if _, err := syscall.Write(fd, f); err == nil || err == syscall.EAGAIN {
						open = append(open, fd)
					}
				}
				mu.Lock()
				sockets[i] = append(open, sockets[i]...)
				mu.Unlock()
			}
		}()
	}
	pace(func(seq uint32) {
		message := framed(seq)
		for _, c := range frames {
			c <- message
		}
	})
	return nil
}

// accept takes connections as a server of WebSockets does, whatever they ask for.
func accept(ln net.Listener, each func(net.Conn)) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		each(conn)
	}
}

// framed is a packet as a WebSocket's frame.
func framed(seq uint32) []byte {
	message := audio.AppendMessage([]byte{0x82, 126, 0, 0}, packet(seq))
	message[2], message[3] = byte((len(message)-4)>>8), byte(len(message)-4)
	return message
}

// goroutines writes the same frames as servers commonly do: each listener has a
// goroutine, a queue, and a deadline for each write.
func goroutines(ln net.Listener) error {
	type listener struct {
		queue chan []byte
		gone  atomic.Bool
	}
	var mu sync.Mutex
	var all []*listener
	go accept(ln, func(conn net.Conn) {
		l := &listener{queue: make(chan []byte, 100)}
		mu.Lock()
		all = append(all, l)
		mu.Unlock()
		go func() {
			for f := range l.queue {
				_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
				if _, err := conn.Write(f); err != nil {
					l.gone.Store(true)
				}
			}
		}()
	})
	pace(func(seq uint32) {
		message := framed(seq)
		mu.Lock()
		defer mu.Unlock()
		all = slices.DeleteFunc(all, func(l *listener) bool {
			if l.gone.Load() {
				close(l.queue)
				return true
			}
			l.queue <- message
			return false
		})
	})
	return nil
}

// hub is Earshot's server.
func hub(ln net.Listener) error {
	h, err := server.NewHub(server.HubConfig{Title: "bench", Format: server.Format{Frame: frame}, Clock: clock})
	if err != nil {
		return err
	}
	if err := h.SetState(server.Live); err != nil {
		return err
	}
	srv := server.New(server.Config{
		Stream: server.Stream{Hub: h, Public: true, MaxListeners: 1 << 20},
		Player: fstest.MapFS{"index.html": {}},
		Log:    slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx, ln) }()
	var mu sync.Mutex
	var took []time.Duration // to publish, since the last signal
	tidy := make(chan os.Signal, 1)
	signal.Notify(tidy, syscall.SIGUSR1)
	go func() {
		for range tidy {
			debug.FreeOSMemory()
			mu.Lock()
			slices.Sort(took)
			fmt.Println(took[len(took)/2].Nanoseconds(), took[len(took)*99/100].Nanoseconds())
			took = took[:0]
			mu.Unlock()
		}
	}()
	pace(func(seq uint32) {
		p, begun := packet(seq), time.Now()
		h.Publish(p)
		mu.Lock()
		defer mu.Unlock()
		took = append(took, time.Since(begun))
	})
	cancel()
	return <-done
}

// process is a server that was started.
type process struct {
	cmd  *exec.Cmd
	addr string
	out  io.Reader // what a server of this program's says after its address
}

// start starts a server of this program's.
func start(b testing.TB, name string) process {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EARSHOT_FANOUT_SERVER="+name)
	return startServer(b, cmd)
}

// startServer starts a server that prints its address, and ends when its standard
// input does.
func startServer(b testing.TB, cmd *exec.Cmd) process {
	b.Helper()
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); stop(cmd) })
	var addr string
	if _, err := fmt.Fscanln(out, &addr); err != nil {
		b.Fatalf("%s said no address: %v", cmd, err)
	}
	return process{cmd, addr, out}
}

// tidy makes a hub's process give back the memory that it doesn't use, and returns
// how long it took to publish a packet, in µs, since it last did: the median and
// what 99 of 100 took at most.
func (p process) tidy(b *testing.B) (p50, p99 float64) {
	b.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Fscanln(p.out, &p50, &p99); err != nil {
		b.Fatal(err)
	}
	return p50 / 1000, p99 / 1000
}

// stop ends a process, by force where it doesn't by itself.
func stop(cmd *exec.Cmd) {
	hard := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	hard.Stop()
}

// startForeign starts another program's server, and waits until it listens.
func startForeign(b *testing.B, addr string, name string, args ...string) process {
	b.Helper()
	cmd := exec.Command(name, args...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			return process{cmd: cmd, addr: addr}
		}
		if time.Now().After(end) {
			b.Fatalf("%s doesn't listen", name)
		}
	}
}

// freePort returns an address that nobody listens at.
func freePort(b *testing.B) (addr, port string) {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	_, port, _ = net.SplitHostPort(ln.Addr().String())
	return ln.Addr().String(), port
}

// snapserver starts Snapcast's server, which encodes noise in chunks of a frame.
func snapserver(b *testing.B) process {
	b.Helper()
	dir := b.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		b.Fatal(err)
	}
	addr, port := freePort(b)
	_, control := freePort(b)
	config := filepath.Join(dir, "snapserver.conf")
	text := fmt.Sprintf("[server]\ndatadir = %s\n[http]\nenabled = false\n[tcp]\nenabled = true\nport = %s\n[stream]\nport = %s\nbind_to_address = 127.0.0.1\nsource = pipe://%s?name=bench&mode=read\ncodec = opus\nchunk_ms = 20\nsampleformat = 48000:16:2\n",
		dir, control, port, fifo)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	p := startForeign(b, addr, "snapserver", "--config", config)
	source, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	noise := make([]byte, 48000/50*4)
	for i := range noise {
		noise[i] = byte(rand.Uint32() >> 28)
	}
	every(b, frame, func() { _, _ = source.Write(noise) }, func() { _ = source.Close() })
	return p
}

// icecast starts Icecast with a source that sends 12 kB once a second.
func icecast(b *testing.B) process {
	b.Helper()
	dir := b.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		b.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		b.Fatal(err)
	}
	addr, port := freePort(b)
	text := fmt.Sprintf(`<icecast><limits><clients>20000</clients><sources>2</sources><queue-size>524288</queue-size><client-timeout>30</client-timeout><header-timeout>15</header-timeout><source-timeout>10</source-timeout><burst-on-connect>0</burst-on-connect><burst-size>0</burst-size></limits>
<authentication><source-password>bench</source-password><admin-user>a</admin-user><admin-password>bench</admin-password></authentication>
<hostname>localhost</hostname><listen-socket><port>%s</port><bind-address>127.0.0.1</bind-address></listen-socket>
<paths><basedir>%s</basedir><logdir>%s</logdir><webroot>/usr/share/icecast2/web</webroot><adminroot>/usr/share/icecast2/admin</adminroot></paths>
<logging><accesslog>access.log</accesslog><errorlog>error.log</errorlog><loglevel>1</loglevel></logging>
<security><chroot>0</chroot><changeowner><user>nobody</user><group>nogroup</group></changeowner></security></icecast>`, port, dir, dir)
	config := filepath.Join(dir, "icecast.xml")
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	p := startForeign(b, addr, "icecast2", "-c", config)
	source, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	_, _ = fmt.Fprintf(source, "SOURCE /s HTTP/1.0\r\nAuthorization: Basic %s\r\nContent-Type: audio/mpeg\r\n\r\n", base64.StdEncoding.EncodeToString([]byte("source:bench")))
	if _, err := source.Read(make([]byte, 512)); err != nil {
		b.Fatalf("icecast takes no source: %v", err)
	}
	sound := make([]byte, 12000)
	_, _ = source.Write(sound)
	every(b, time.Second, func() { _, _ = source.Write(sound) }, func() { _ = source.Close() })
	return p
}

// every calls each in the background until the test ends, and when it ends last.
func every(b *testing.B, d time.Duration, each, last func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				each()
			}
		}
	}()
	b.Cleanup(func() { close(done); last(); <-ended }) // last also ends a write that nobody takes
}
