package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"earshot/audio"
)

// crowd listens, and comes back by itself.
type crowd struct {
	size   int
	query  string       // of the request to listen
	here   atomic.Int64 // that have heard something on their connection
	wrong  atomic.Int64 // packets that were heard twice or out of order
	longer atomic.Int64 // the longest time without sound that anybody had, since listen began or reset
	since  atomic.Int64
	start  time.Time
}

func (c *crowd) now() int64 { return int64(time.Since(c.start)) }

// reset begins to look for gaps anew.
func (c *crowd) reset() { c.since.Store(c.now()); c.longer.Store(0) }

// listen makes so many listen at the relays' address.
func (f *fleet) listen(size int) *crowd { return f.listenAt(size, "", true) }

// listenAt makes them listen with a query, at the relays' address or else at each
// relay's own, which costs this computer less.
func (f *fleet) listenAt(size int, query string, front bool) *crowd {
	c := &crowd{size: size, query: query, start: time.Now()}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range size {
		at := f.url.Host
		if !front {
			at = fmt.Sprintf("127.0.0.1:%d", f.programs[i%len(f.programs)].port)
		}
		wg.Go(func() {
			var last uint32
			var heard int64
			for ctx.Err() == nil {
				c.connect(ctx, at, &last, &heard)
				select {
				case <-ctx.Done():
				case <-time.After(time.Duration(100+rand.IntN(400)) * time.Millisecond):
				}
			}
		})
	}
	f.t.Cleanup(func() { cancel(); wg.Wait() })
	return c
}

// connect listens over one connection.
func (c *crowd) connect(ctx context.Context, host string, last *uint32, at *int64) {
	dialer := websocket.Dialer{HandshakeTimeout: 5 * time.Second, Subprotocols: []string{"earshot.v1"}}
	conn, _, err := dialer.DialContext(ctx, "ws://"+host+"/song/listen?"+c.query, nil)
	if err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	first := true
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil {
			break
		}
		if kind != websocket.BinaryMessage {
			continue
		}
		packets, err := audio.ParseMessage(message)
		if err != nil {
			c.wrong.Add(1)
			continue
		}
		if first {
			first = false
			c.here.Add(1)
			defer c.here.Add(-1)
		}
		for _, p := range packets {
			n := binary.BigEndian.Uint32(p.Data[1:])
			if n <= *last {
				c.wrong.Add(1)
			}
			*last = n
			now := c.now()
			if *at > 0 && now > c.since.Load() {
				gap := now - max(*at, c.since.Load())
				for old := c.longer.Load(); gap > old && !c.longer.CompareAndSwap(old, gap); old = c.longer.Load() {
				}
			}
			*at = now
		}
	}
}

func (c *crowd) all() bool { return c.here.Load() == int64(c.size) }
