package relay

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"earshot/audio"
)

// stored takes the stream's entry of the bucket.
func (m *Member) stored(e jetstream.KeyValueEntry) {
	r, ok := m.parse(e)
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.Revision() <= m.revision {
		return
	}
	m.entry, m.revision, m.since = r, e.Revision(), m.bus.now()
	m.learn(r)
}

// parse returns the record of an entry, with its epoch.
func (m *Member) parse(e jetstream.KeyValueEntry) (record, bool) {
	var r record
	if e.Operation() != jetstream.KeyValuePut || json.Unmarshal(e.Value(), &r) != nil {
		m.bus.stats.malformed.Add(1)
		return record{}, false
	}
	if r.Epoch == 0 {
		r.Epoch = e.Revision()
	}
	return r, true
}

// rise makes epoch the stream's, unless a later one is known or it has ended; it
// tells whether it is now. m.mu is held.
func (m *Member) rise(epoch uint64) bool {
	switch {
	case epoch < m.known.Epoch || epoch == m.known.Epoch && m.over || m.stopped:
		return false
	case epoch > m.known.Epoch:
		m.known = record{Epoch: epoch}
		m.over, m.begun = false, false
		m.heard = m.bus.now()
		m.clock.reset(epoch)
		m.retell = true
		m.Changed()
	}
	return true
}

// learn takes what is said of the publisher. m.mu is held.
func (m *Member) learn(r record) {
	if !m.rise(r.Epoch) {
		return
	}
	m.alive = m.bus.now()
	if l := m.lease; l != nil && l.epoch < r.Epoch {
		why := ErrLost
		if r.Identity == l.claim.Identity {
			why = ErrReplaced
		}
		m.drop(why)
	}
	if r.Relay == "" {
		m.over = true
		m.known.Relay = ""
	} else if m.known.Relay == "" || r.Number >= m.known.Number {
		m.known = r
	}
	m.tellState()
}

// drop ends the lease. m.mu is held.
func (m *Member) drop(why error) {
	l := m.lease
	m.lease = nil
	m.clock.use(nil)
	l.end(why)
	clear(m.others)
	m.wanted = false
}

// expire takes a publisher for gone of which nothing was heard for so long that
// its lease is over. m.mu is held.
func (m *Member) expire(now time.Duration) {
	if m.state.Online && m.lease == nil && now-m.alive > leaseFor {
		m.tellState()
	}
}

// tellState tells the stream what is known, if that is news. m.mu is held.
func (m *Member) tellState() {
	s := State{Epoch: m.known.Epoch, About: m.known.About}
	s.Online = !m.over && m.known.Relay != "" && (m.lease != nil || m.bus.now()-m.alive <= leaseFor)
	if m.known.Relay == m.bus.config.Name && m.lease == nil {
		s.Online = false // it was ours and ended
	}
	if s.Epoch != m.state.Epoch || s.Online != m.state.Online || !bytes.Equal(s.About, m.state.About) {
		m.state = s
		m.stream.State(s)
	}
}

// takeSound takes what the publisher's relay sends.
func (m *Member) takeSound(msg *nats.Msg) {
	kind, epoch, body, ok := open(msg.Data)
	if !ok {
		m.bus.stats.malformed.Add(1)
		return
	}
	var err error
	switch kind {
	case kindSound:
		var packets []audio.Packet
		if packets, err = audio.ParseMessage(body); err == nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.sound(epoch, packets)
		}
	case kindRecord:
		var r record
		if err = json.Unmarshal(body, &r); err == nil {
			r.Epoch = epoch
			m.mu.Lock()
			defer m.mu.Unlock()
			m.learn(r)
			m.heard = m.bus.now()
		}
	case kindKick:
		var k kick
		if err = json.Unmarshal(body, &k); err == nil && k.Relay == m.bus.config.Name {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.rise(epoch) {
				m.stream.Kick(k.Listener)
			}
		}
	}
	if err != nil {
		m.bus.stats.malformed.Add(1)
	}
}

// sound passes on the packets that are newer than all before, and tells whether
// there were any. m.mu is held.
func (m *Member) sound(epoch uint64, packets []audio.Packet) bool {
	if !m.rise(epoch) {
		m.bus.stats.stale.Add(1)
		return false
	}
	m.heard = m.bus.now()
	packets = slices.DeleteFunc(packets, func(p audio.Packet) bool {
		if m.begun && int32(p.Seq-m.seq) <= 0 {
			m.bus.stats.repeated.Add(1)
			return true
		}
		m.begun, m.seq = true, p.Seq
		return false
	})
	if len(packets) > 0 {
		m.stream.Sound(epoch, packets)
	}
	return len(packets) > 0
}
