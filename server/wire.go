package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"
)

// wire is a listener's connection. Any goroutine may write to it, one after the
// other; try never waits for any of them.
//
// It also ends who sends too many bytes: a message may come in frames without
// number and without content, which no count of messages sees.
type wire struct {
	net.Conn
	l    *listener
	pace *rate.Limiter // of bytes; the reader's

	raw syscall.RawConn // nil where writing can't be tried

	closing atomic.Bool // the other side has closed: no sound after that (RFC 6455 section 5.5.1)

	mu   sync.Mutex // guards the rest, and the order of what is written
	rest []byte     // of what try took; it goes first

	// What try hands to write and back: a closure for each call would be garbage
	// for each listener and packet.
	write func(fd uintptr)
	data  []byte
	n     int
	err   error
}

// newWire returns a wire that can be tried where conn is a plain TCP connection
// and the system knows how.
func newWire(conn net.Conn, l *listener) *wire {
	w := &wire{Conn: conn, l: l, pace: rate.NewLimiter(readRate*readBytes, readBurst*readBytes)}
	if tcp, ok := conn.(*net.TCPConn); ok && canTry {
		w.raw, _ = tcp.SyscallConn()
	}
	w.write = func(fd uintptr) { w.n, w.err = writeNow(fd, w.data) }
	return w
}

// try writes p without waiting and says whether it took it, and all of it. What is
// not yet written of what it took goes before anything else. It takes nothing while
// somebody else writes, and where the connection is full, broken or closing. p must
// stay as it is.
func (w *wire) try(p []byte) (took, all bool) {
	if w.raw == nil || !w.mu.TryLock() {
		return false, false
	}
	defer w.mu.Unlock()
	if len(w.rest) > 0 || w.closing.Load() {
		return false, false
	}
	w.data = p
	// Not RawConn.Write, which obeys the deadline of who waited last.
	if err := w.raw.Control(w.write); err != nil || w.err != nil || w.n == 0 {
		return false, false
	}
	w.rest = p[w.n:]
	return true, len(w.rest) == 0
}

// Write implements net.Conn. It writes what is left of what try took first.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writeAll(p)
}

// sound is Write for sound; without content it writes what is left alone.
func (w *wire) sound(p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing.Load() {
		return websocket.ErrCloseSent
	}
	_, err := w.writeAll(p)
	return err
}

func (w *wire) writeAll(p []byte) (int, error) {
	if len(w.rest) > 0 {
		n, err := w.Conn.Write(w.rest)
		w.rest = w.rest[n:]
		if err != nil {
			return 0, err
		}
	}
	if len(p) == 0 {
		return 0, nil
	}
	return w.Conn.Write(p)
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if w.paced(n) {
		return n, err
	}
	return 0, w.skip()
}

func (w *wire) paced(n int) bool { return w.pace.AllowN(time.Now(), n) }

// skip ends the listener, and reads on until it is closed, as listener.read
// does, but looks at none of it.
func (w *wire) skip() error {
	w.l.end(closeTooMany)
	if _, err := io.Copy(io.Discard, w.Conn); err != nil {
		return err
	}
	return io.EOF
}

// wiring is a response whose connection becomes a listener's wire once it is
// hijacked.
type wiring struct {
	http.ResponseWriter
	l *listener
}

// Hijack implements http.Hijacker.
func (w wiring) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffer, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.l.wire = newWire(conn, w.l)
	return w.l.wire, buffer, nil
}
