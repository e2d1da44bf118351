package capture

import (
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"earshot/audio/audiotest"
)

// proxy stands before a sound server and can cut its connections.
type proxy struct {
	path string

	mu    sync.Mutex
	shut  bool       // accept nobody
	held  *held      // what becomes of the next connection; nil: nothing
	conns []net.Conn // in the order in which they came
}

// held is a connection that the server does not get to see until it is let go.
type held struct {
	came, release chan struct{}
}

// startProxy makes this process use the server through a proxy.
func startProxy(t *testing.T, server string) *proxy {
	t.Helper()
	p := &proxy{path: filepath.Join(filepath.Dir(server), "proxy")}
	listener, err := net.Listen("unix", p.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PULSE_SERVER", "unix:"+p.path)
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			shut, held := p.shut, p.held
			p.held = nil
			p.conns = append(p.conns, conn)
			p.mu.Unlock()
			if held != nil {
				close(held.came)
				<-held.release
			}
			if shut {
				conn.Close()
				continue
			}
			up, err := net.Dial("unix", server)
			if err != nil {
				conn.Close()
				continue
			}
			done.Go(func() { io.Copy(up, conn); up.Close() })
			done.Go(func() { io.Copy(conn, up); conn.Close() })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.cut(0, 1000)
		done.Wait()
	})
	return p
}

// cut closes connections by the order in which they came, and says how many
// there have been.
func (p *proxy) cut(from, to int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := from; i < min(to, len(p.conns)); i++ {
		p.conns[i].Close()
	}
	return len(p.conns)
}

// refuse makes the proxy close new connections at once, as a server does that
// has too many.
func (p *proxy) refuse(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = yes
}

// hold keeps the next connection from the server.
func (p *proxy) hold() *held {
	h := &held{make(chan struct{}), make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = h
	return h
}

// TestOutputGoesWhileOpened takes an output away while a busy server has not yet
// taken the connection by which it is to be recorded. A device that miniaudio
// fails to open costs descriptors for ever.
func TestOutputGoesWhileOpened(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(...string) *audiotest.Server) {
		s := start("speakers")
		s.PlaySine("speakers", 997)
		p := startProxy(t, s.Socket())
		l := listen(t, loopback)
		l.hears(997)
		files, clients := openFiles(t), s.Clients()
		for range 3 {
			h := p.hold()
			s.LoadSink("headphones") // PulseAudio remembers that it was the default output
			s.SetDefaultSink("headphones")
			select {
			case <-h.came:
			case <-l.ended:
				t.Fatal("the capture has ended")
			case <-time.After(10 * time.Second):
				t.Error("the new output is not opened")
			}
			s.UnloadSink("headphones")
			close(h.release)
			l.hears(997)
		}
		audiotest.Poll(t, "open files or connections have grown", func() bool {
			return openFiles(t) <= files && s.Clients() <= clients
		})
	})
}

// TestOpeningHangs holds the connection by which miniaudio opens an output: the
// listeners' silence has a name meanwhile.
func TestOpeningHangs(t *testing.T) {
	s := audiotest.StartPulse(t, "speakers")
	s.PlaySine("speakers", 997)
	p := startProxy(t, s.Socket())
	l := listen(t, loopback)
	l.hears(997)
	h := p.hold()
	s.LoadSink("headphones", "device.description=Headphones")
	s.SetDefaultSink("headphones")
	l.troubled(errNoAnswer.Error())
	close(h.release)
	s.PlaySine("headphones", 440)
	l.hears(440)
	l.troubled("")
}

// TestCaptureOutlivesItsWatch breaks the connection that only tells of changes.
func TestCaptureOutlivesItsWatch(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(...string) *audiotest.Server) {
		s := start("speakers")
		s.LoadSink("headphones", "device.description=Headphones")
		s.SetDefaultSink("speakers")
		s.PlaySine("", 997)
		p := startProxy(t, s.Socket())
		l := listen(t, loopback)
		l.hears(997)
		l.clear()
		p.refuse(true)
		before := p.cut(0, 1) // the first is the watch
		l.next(2 * time.Second)
		if n := p.cut(0, 0) - before; n < 2 || n > 8 {
			t.Errorf("%d attempts to connect in 2 s", n)
		}
		p.refuse(false)
		s.SetDefaultSink("headphones")
		audiotest.Poll(t, "the new output is not captured", func() bool { return l.status().Output == "Headphones" })
		l.hears(997)
		if got := audiotest.Measure(join(l.heard()), 997); len(got.Breaks) > 1 {
			t.Errorf("%v", got)
		}
		for _, status := range l.history() {
			if status.Trouble != "" {
				t.Errorf("status %+v", status)
			}
		}

		// All at once, as when the server throws us out.
		p.cut(0, p.cut(0, 0))
		l.hears(997)
	})
}
