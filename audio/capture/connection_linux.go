package capture

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// answer is how long the sound server may take to answer.
	answer = time.Second
	// greatest is the size of the greatest message that is accepted.
	greatest = 1 << 20
)

// connection carries requests to the sound server and its answers. Any
// goroutine may use it.
type connection struct {
	conn   net.Conn
	event  func(kind, index uint32)          // called by the reader
	sound  func(channel uint32, data []byte) // called by the reader; it may not keep data
	closed chan struct{}                     // closed when the reader has ended

	mu      sync.Mutex // guards what follows, and writes
	tag     uint32     // of the last request
	waiting map[uint32]chan<- response
}

// response is the server's answer to a request.
type response struct {
	values values
	err    error
}

// newConnection takes conn over, and calls event for each event and sound for
// each block of sound from a recording's channel.
func newConnection(conn net.Conn, event func(kind, index uint32), sound func(channel uint32, data []byte)) *connection {
	c := &connection{
		conn:    conn,
		event:   event,
		sound:   sound,
		closed:  make(chan struct{}),
		waiting: make(map[uint32]chan<- response),
	}
	go func() {
		defer close(c.closed)
		defer conn.Close()
		c.read()
	}()
	return c
}

// close ends the connection and waits for its reader.
func (c *connection) close() {
	c.conn.Close()
	<-c.closed
}

// request asks the server. The error is errNoAnswer, errNoServer when the
// connection has ended, or a refusal.
func (c *connection) request(command uint32, args message) (values, error) {
	got := make(chan response, 1)
	tag, err := c.send(command, args, got)
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, tag)
	}()
	if err != nil {
		c.conn.Close() // half a message may be on its way
		return nil, errNoServer
	}
	timer := time.NewTimer(answer)
	defer timer.Stop()
	select {
	case r := <-got:
		return r.values, r.err
	case <-c.closed:
		return nil, errNoServer
	case <-timer.C:
		return nil, errNoAnswer
	}
}

// send sends a request whose answer goes to got.
func (c *connection) send(command uint32, args message, got chan<- response) (tag uint32, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tag++
	c.waiting[c.tag] = got
	body := append(message(nil).number(command).number(c.tag), args...)
	// Length, channel (none: a message), offset in two halves, flags.
	frame := make([]byte, 0, 20+len(body))
	for _, n := range []uint32{uint32(len(body)), none, 0, 0, 0} {
		frame = binary.BigEndian.AppendUint32(frame, n)
	}
	c.conn.SetWriteDeadline(time.Now().Add(answer))
	_, err = c.conn.Write(append(frame, body...))
	return c.tag, err
}

// read passes on what the server sends until the connection ends or makes no
// sense. There is no deadline, since events come when they come.
func (c *connection) read() {
	r := bufio.NewReader(c.conn)
	var head [20]byte
	var block []byte // of sound
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(head[:])
		if n > greatest {
			return
		}
		if channel := binary.BigEndian.Uint32(head[4:]); channel != none {
			block = slices.Grow(block[:0], int(n))[:n]
			if _, err := io.ReadFull(r, block); err != nil {
				return
			}
			c.sound(channel, block)
			continue
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		v, err := parseValues(body)
		if err != nil || len(v) < 2 {
			return
		}
		switch command, args := v.number(0), v[2:]; command {
		case commandEvent:
			c.event(args.number(0), args.number(1))
		case commandReply:
			c.respond(v.number(1), response{values: args})
		case commandError:
			c.respond(v.number(1), response{err: refusal(args.number(0))})
		}
	}
}

// respond hands an answer to who waits for it, if still somebody does.
func (c *connection) respond(tag uint32, r response) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if got, ok := c.waiting[tag]; ok {
		delete(c.waiting, tag)
		got <- r // has room for it
	}
}
