//go:build !windows

package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"earshot/server/token"
)

// stranger is somebody who attacks for as long as ctx lasts, from an address of
// their own. The tokens are a good one, for the attacks of listeners, and one
// that is signed by somebody else.
type stranger struct {
	addr, from string
	good, bad  string
}

func (s stranger) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(s.from)}}
	conn, err := d.DialContext(ctx, "tcp", s.addr)
	if err == nil {
		context.AfterFunc(ctx, func() { _ = conn.Close() })
	}
	return conn, err
}

// send writes a text to a new connection, and reads what comes, again and again.
func (s stranger) send(ctx context.Context, text string) {
	for ctx.Err() == nil {
		conn, err := s.dial(ctx)
		if err != nil {
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		go func() { _, _ = io.WriteString(conn, text) }()
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
}

// join becomes a listener.
func (s stranger) join(ctx context.Context) (*websocket.Conn, error) {
	d := websocket.Dialer{NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.dial(ctx) }}
	conn, _, err := d.DialContext(ctx, "ws://"+s.addr+"/listen", http.Header{"Token": {s.good}})
	return conn, err
}

// flood joins and writes frames until it is thrown out, again and again.
func (s stranger) flood(ctx context.Context, frames []byte) {
	for ctx.Err() == nil {
		conn, err := s.join(ctx)
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		go func() { _, _ = io.Copy(io.Discard, conn.NetConn()) }()
		for err == nil {
			_, err = conn.NetConn().Write(frames)
		}
		_ = conn.Close()
	}
}

// hold opens as many connections as it can, writes a text to each, and then a
// byte now and then.
func (s stranger) hold(ctx context.Context, text string) {
	var all []net.Conn
	defer func() {
		for _, c := range all {
			_ = c.Close()
		}
	}()
	for ctx.Err() == nil {
		if len(all) >= 300 {
			c := all[rand.IntN(len(all))]
			_, _ = io.WriteString(c, "x")
			time.Sleep(time.Millisecond)
			continue
		}
		conn, err := s.dial(ctx)
		if err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		_, _ = io.WriteString(conn, text)
		all = append(all, conn)
	}
}

// What strangers do, and listeners who mean no good: meanwhile the owner's
// listeners hear everything in time, memory stays bounded, and the log has few
// lines.
func TestStrangers(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	upgrade := "GET /listen HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for _, tt := range []struct {
		name   string
		tls    bool
		attack func(context.Context, stranger)
	}{
		{"connections that say nothing", false, func(ctx context.Context, s stranger) { s.hold(ctx, "") }},
		{"slow headers", false, func(ctx context.Context, s stranger) { s.hold(ctx, "GET /listen HTTP/1.1\r\nHost: x\r\nX: ") }},
		{"bodies that never come", false, func(ctx context.Context, s stranger) {
			s.hold(ctx, "POST /api/links HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\nAuthorization: Bearer "+s.bad+"\r\n\r\n{")
		}},
		{"handshakes of TLS that never end", true, func(ctx context.Context, s stranger) { s.hold(ctx, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") }},
		{"handshakes of TLS, again and again", true, func(ctx context.Context, s stranger) {
			for ctx.Err() == nil {
				if conn, err := s.dial(ctx); err == nil {
					_ = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx)
					_ = conn.Close()
				}
			}
		}},
		{"handshakes of WebSockets that are none", false, func(ctx context.Context, s stranger) { s.send(ctx, upgrade+"Token: "+s.good+"x\r\n\r\n") }},
		{"bad tokens", false, func(ctx context.Context, s stranger) {
			client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.dial(ctx) }}}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+s.addr+"/api/session", nil)
				req.Header.Set("Authorization", "Bearer "+s.bad)
				if answer, err := client.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, answer.Body)
					_ = answer.Body.Close()
				}
			}
		}},
		{"tokens of a megabyte", false, func(ctx context.Context, s stranger) { s.send(ctx, upgrade+"Token: "+long+"\r\n\r\n") }},
		{"headers without end", false, func(ctx context.Context, s stranger) {
			s.send(ctx, "GET / HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X-"+long[:1000]+": x\r\n", 1000))
		}},
		{"what is no HTTP", false, func(ctx context.Context, s stranger) { s.send(ctx, strings.Repeat("\x00\xff\r\n", 1<<16)) }},
		{"a listener who comes and goes", false, func(ctx context.Context, s stranger) {
			for ctx.Err() == nil {
				if conn, err := s.join(ctx); err == nil {
					_ = conn.Close()
				}
			}
		}},
		{"pings", false, func(ctx context.Context, s stranger) { s.flood(ctx, bytes.Repeat(masked(pinged, long[:125]), 100)) }},
		{"reports", false, func(ctx context.Context, s stranger) {
			s.flood(ctx, bytes.Repeat(masked(fin|text, `{"type":"stats","profile":"`+long[:900]+`"}`), 100))
		}},
		{"fragments without end", false, func(ctx context.Context, s stranger) {
			s.flood(ctx, append(masked(text, "x"), bytes.Repeat(masked(more, long[:100]), 100)...))
		}},
		{"a frame of a gigabyte", false, func(ctx context.Context, s stranger) {
			s.flood(ctx, append([]byte{fin | text, 0x80 | 127, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0}, long...))
		}},
		{"frames that are not masked", false, func(ctx context.Context, s stranger) { s.flood(ctx, bytes.Repeat([]byte{fin | text, 1, 'x'}, 100)) }},
		{"compressed bombs", false, func(ctx context.Context, s stranger) { s.flood(ctx, masked(fin|0x40|text, long)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log lines
			r := start(t, issuing(nil), func(c *Config) {
				c.Log = slog.New(slog.NewTextHandler(&log, nil))
				if tt.tls {
					dir := t.TempDir()
					cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
					writePair(t, 1, cert, key)
					var err error
					if c.Certificate, err = OpenCertificate(cert, key, c.Log); err != nil {
						t.Fatal(err)
					}
				}
			})
			var conn *websocket.Conn
			if tt.tls {
				d := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
				var err error
				if conn, _, err = d.Dial("wss://"+r.addr+"/listen", http.Header{"Token": {r.token(time.Hour)}}); err != nil {
					t.Fatal(err)
				}
			} else {
				conn = r.join("/listen")
			}
			clock := r.stream(240)
			w := watch(t, conn, clock)
			other, err := token.OpenKey(filepath.Join(t.TempDir(), "key.pem"))
			if err != nil {
				t.Fatal(err)
			}
			bad, _, err := other.Issue(token.Grant{Scope: token.ScopeListen, Audience: token.AudienceDesktop, For: time.Hour}, time.Now())
			if err != nil {
				t.Fatal(err)
			}

			before, most := held(), atomic.Int64{}
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			var all sync.WaitGroup
			for i := range 4 {
				s := stranger{r.addr, fmt.Sprintf("127.0.1.%d", i+1), r.token(time.Hour), bad}
				all.Go(func() { tt.attack(ctx, s) })
			}
			all.Go(func() {
				for ctx.Err() == nil {
					most.Store(max(most.Load(), int64(held())))
					time.Sleep(100 * time.Millisecond)
				}
			})
			all.Wait()
			w.check()
			// Each connection has its buffers, those of this test among them.
			if more := int(most.Load()) - before; more > 64<<20 {
				t.Errorf("it takes %d MB", more>>20)
			}
			if n := strings.Count(log.String(), "\n"); n > logLines(time.Since(began)) {
				t.Errorf("%d lines in the log:\n%.3000s", n, log.String())
			}
			// And it goes on for others.
			waitFor(t, "somebody else gets in", func() bool {
				if tt.tls {
					client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
					answer, err := client.Get("https://" + r.addr + "/healthz")
					if err == nil {
						_ = answer.Body.Close()
					}
					return err == nil
				}
				conn, _, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/listen", http.Header{"Token": {r.token(time.Hour)}})
				if err == nil {
					_ = conn.Close()
				}
				return err == nil
			})
		})
	}
}

// logLines is how many lines may be logged in that time, whatever strangers and
// listeners do: one of refusals a second, and those of who comes and goes.
func logLines(d time.Duration) int {
	return 2 + int(d/time.Second) + tripBurst + int(d.Seconds()*tripRate)
}
