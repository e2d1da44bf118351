package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// hop is a server between browsers and an earshot. It passes everything on, and
// can lose or hold back the sound.
type hop struct {
	t    testing.TB
	port string

	mu   sync.Mutex
	lose int       // how many of the next packets
	free time.Time // until when they are held back
}

// newHop starts a hop in front of app, until the test ends.
func newHop(t testing.TB, app *running) *hop {
	t.Helper()
	h := &hop{t: t}
	to := &url.URL{Scheme: "http", Host: app.address()}
	transport := &http.Transport{}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // that the Origin is compared with
		},
		ModifyResponse: func(r *http.Response) error {
			if conn, ok := r.Body.(io.ReadWriteCloser); ok && r.StatusCode == http.StatusSwitchingProtocols {
				r.Body = &hopConn{ReadWriteCloser: conn, hop: h, in: bufio.NewReader(conn)}
			}
			return nil
		},
	})
	t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
	})
	var err error
	if _, h.port, err = net.SplitHostPort(server.Listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	return h
}

// link returns a share link of the app's that leads through the hop.
func (h *hop) link(link string) string {
	h.t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		h.t.Fatal(err)
	}
	u.Host = net.JoinHostPort(u.Hostname(), h.port)
	return u.String()
}

// drop loses the next n packets.
func (h *hop) drop(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lose = n
}

// hold holds back for d all that comes, and then passes it on at once.
func (h *hop) hold(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.free = time.Now().Add(d)
}

// pass tells whether a packet that has come shall go on, and when.
func (h *hop) pass() (ok bool, when time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lose > 0 {
		h.lose--
		return false, time.Time{}
	}
	return true, h.free
}

// hopConn is a WebSocket from earshot: reading it gives the frames that go on.
type hopConn struct {
	io.ReadWriteCloser
	hop  *hop
	in   *bufio.Reader
	left []byte // of a frame that goes on
}

func (c *hopConn) Read(p []byte) (int, error) {
	for len(c.left) == 0 {
		frame, err := readFrame(c.in)
		if err != nil {
			return 0, err
		}
		if frame[0]&0x0f == binaryFrame {
			ok, when := c.hop.pass()
			if !ok {
				continue
			}
			time.Sleep(time.Until(when))
		}
		c.left = frame
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

// binaryFrame is the opcode of sound: RFC 6455 section 5.2.
const binaryFrame = 2

// readFrame reads a server's frame: RFC 6455 section 5.2. Earshot's messages are
// one frame each.
func readFrame(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(2)
	if err != nil {
		return nil, err
	}
	size := 2 + int(head[1])
	switch head[1] {
	case 126:
		if head, err = r.Peek(4); err != nil {
			return nil, err
		}
		size = 4 + int(head[2])<<8 + int(head[3])
	case 127:
		return nil, errors.New("a frame of 64 kB or more")
	}
	frame := make([]byte, size)
	_, err = io.ReadFull(r, frame)
	return frame, err
}
