package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// reportEvery is how often a relay with listeners says so, and the
	// publisher's relay that it is there; whoever is silent for forget is gone.
	reportEvery = time.Second
	forget      = 3500 * time.Millisecond
	// settle is between two reports, however much happens.
	settle = 100 * time.Millisecond
)

// Member is this relay's part in a stream.
type Member struct {
	bus    *Bus
	stream Stream

	wake      chan struct{} // capacity 1
	withdrawn *withdrawals
	clock     clock
	claiming  chan struct{} // capacity 1: full while a claim is under way

	mu      sync.Mutex // guards the rest and is held while functions of stream are called
	stopped bool
	lease   *Lease        // of the publisher that is connected here; nil for none
	state   State         // as State was called with
	known   record        // of the newest epoch
	over    bool          // that epoch has ended
	begun   bool          // there was sound in that epoch
	seq     uint32        // of its newest packet
	alive   time.Duration // when the lease was last known to be renewed
	heard   time.Duration // when its relay was last heard, or could have been first

	entry    record        // in the bucket
	revision uint64        // its; 0 for none
	since    time.Duration // when that was first seen

	local   int // listeners here
	wanted  bool
	others  map[string]report   // of other relays
	changed bool                // Others is to be called
	retell  bool                // the others don't know yet who listens here
	seats   map[seatsKey]report // of other relays, without those that have none

	// The subscriptions of a relay with listeners, and with such that have a seat
	// of a link with a limit; nil without. They are run's.
	toSound, toSeats *nats.Subscription
}

// report is what another relay said and when that came.
type report struct {
	Report
	at time.Duration
}

func newMember(b *Bus, s Stream) *Member {
	return &Member{
		bus:       b,
		stream:    s,
		wake:      make(chan struct{}, 1),
		withdrawn: newWithdrawals(),
		claiming:  make(chan struct{}, 1),
		others:    map[string]report{},
		seats:     map[seatsKey]report{},
	}
}

// Changed says that somebody came or went here. It returns at once.
func (m *Member) Changed() { nudge(m.wake) }

// again says again what may have reached nobody.
func (m *Member) again() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.retell = true
	m.heard = m.bus.now()
	m.Changed()
}

// forgetAll begins anew with a bucket that is another than before, whose
// revisions start over. What is withdrawn is stored anew.
func (m *Member) forgetAll() {
	m.withdrawn.forget()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lease != nil {
		m.drop(ErrLost)
	}
	m.known, m.over, m.entry, m.revision = record{}, false, record{}, 0
	m.tellState()
}

// run does what is due each second, and at once when something has changed.
func (m *Member) run(ctx context.Context) {
	defer m.leave()
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	var told told
	for {
		due := false
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			due = true
		case <-m.wake:
		}
		m.look(&told, due)
		if due {
			continue
		}
		select { // a thousand may join at once
		case <-ctx.Done():
			return
		case <-time.After(settle):
		}
	}
}

// told is what the others were told last.
type told struct {
	count  int
	list   []byte        // which may be long, and is told once a second
	listed time.Duration // when
	parts  int           // that tellSeats told
}

// look acts on what is so now. due says that what was said may be said again.
func (m *Member) look(told *told, due bool) {
	m.tellWithdrawn() // first: it is what cannot wait
	r := m.stream.Report()
	r.Relay = m.bus.config.Name
	m.listen(r)

	m.mu.Lock()
	now := m.bus.now()
	m.forget(now)
	m.local = r.Count
	m.tellWanted()
	if m.changed && m.lease != nil {
		m.changed = false
		list := make([]Report, 0, len(m.others))
		for _, o := range m.others {
			list = append(list, o.Report)
		}
		m.stream.Others(list)
	}
	m.expire(now)
	lease, retell := m.lease, m.retell
	m.retell = false
	beacon := lease != nil && len(m.others) > 0
	known := m.known
	for _, id := range m.excess(r.Seats) {
		m.stream.Excess(id)
	}
	remote := lease == nil && m.state.Online && r.Count > 0
	deaf := remote && now-m.heard > forget
	m.mu.Unlock()

	name := m.stream.Name
	if beacon && due {
		m.bus.publish(subject(name, toSound), envelope(kindRecord, known.Epoch, encode(known)))
	}
	if retell {
		told.list, told.listed = nil, 0
	}
	if lease == nil && (retell || r.Count != told.count || due && r.Count > 0) {
		told.count = r.Count
		if bytes.Equal(r.Listeners, told.list) || now-told.listed < reportEvery/2 {
			r.Listeners = nil // as it was, or soon
		} else {
			told.list, told.listed = r.Listeners, now
		}
		m.bus.publish(subject(name, toListeners), encode(r))
	}
	told.parts = m.tellSeats(r, told.parts)
	if remote {
		m.askClock(known.Epoch)
	}
	if deaf {
		// NATS servers pass on to those that they reach themselves. Ours may have
		// lost the publisher's, where another has not.
		m.bus.elsewhere("the publisher's relay isn't heard")
	}
	if due {
		m.withdrawn.prune(m.bus.sure())
	}
}

// listen subscribes to what this relay needs and to no more.
func (m *Member) listen(r Report) {
	if listens := r.Count > 0; listens != (m.toSound != nil) {
		m.mu.Lock()
		m.heard = m.bus.now() // from when on it can be missed
		m.mu.Unlock()
		m.toSound = m.switchTo(listens, m.toSound, toSound, m.takeSound)
	}
	if limited := len(r.Seats) > 0; limited != (m.toSeats != nil) {
		m.toSeats = m.switchTo(limited, m.toSeats, toSeats, m.takeSeats)
	}
}

// switchTo returns a new subscription of the stream's, or nil having ended the
// old one.
func (m *Member) switchTo(on bool, old *nats.Subscription, what string, take nats.MsgHandler) *nats.Subscription {
	if on {
		return m.subscribe(what, take)
	}
	_ = old.Unsubscribe()
	return nil
}

// subscribe returns nil once the connection is closed for good.
func (m *Member) subscribe(what string, take nats.MsgHandler) *nats.Subscription {
	sub, err := m.bus.nc.Subscribe(subject(m.stream.Name, what), take)
	if err != nil {
		return nil
	}
	if what == toSound {
		_ = sub.SetPendingLimits(pendingMessages, pendingBytes)
	} else {
		_ = sub.SetPendingLimits(pendingReports, pendingReportBytes)
	}
	return sub
}

// leave ends what run began.
func (m *Member) leave() {
	for _, sub := range []*nats.Subscription{m.toSound, m.toSeats} {
		if sub != nil {
			_ = sub.Unsubscribe()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true // what is on its way comes to nothing
}

// stop gives back the lease.
func (m *Member) stop() {
	m.mu.Lock()
	lease := m.lease
	if lease != nil {
		m.drop(ErrLost)
	}
	m.mu.Unlock()
	if lease != nil {
		lease.Release()
	}
}

// forget drops what relays said that have been silent. m.mu is held.
func (m *Member) forget(now time.Duration) {
	for relay, r := range m.others {
		if now-r.at > forget {
			delete(m.others, relay)
			m.changed = true
		}
	}
	for key, r := range m.seats {
		if now-r.at > forget {
			delete(m.seats, key)
		}
	}
}

// tellWanted tells the publisher's side whether anybody listens anywhere. m.mu
// is held.
func (m *Member) tellWanted() {
	wanted := m.lease != nil && m.local > 0
	if m.lease != nil {
		m.lease.wanted.Store(len(m.others) > 0)
		wanted = wanted || len(m.others) > 0
	}
	if wanted != m.wanted {
		m.wanted = wanted
		if m.lease != nil {
			m.stream.Wanted(wanted)
		}
	}
}

// takeReport takes what another relay says of its listeners.
func (m *Member) takeReport(msg *nats.Msg) {
	var r Report
	if json.Unmarshal(msg.Data, &r) != nil || r.Relay == "" {
		m.bus.stats.malformed.Add(1)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, there := m.others[r.Relay]
	if r.Listeners == nil {
		r.Listeners = old.Listeners
	}
	if r.Count <= 0 {
		delete(m.others, r.Relay)
	} else {
		m.others[r.Relay] = report{r, m.bus.now()}
	}
	if there != (r.Count > 0) || old.Count != r.Count || !bytes.Equal(old.Listeners, r.Listeners) {
		m.changed = true
		m.Changed()
	}
	if m.lease != nil && !there && r.Count > 0 {
		m.tellWanted() // at once: somebody waits for sound
	}
}
