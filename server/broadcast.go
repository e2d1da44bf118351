package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"earshot/audio"
	"earshot/server/line"
	"earshot/server/token"
)

// shortest is the least that a packet may hold.
const shortest = 5 * time.Millisecond

// Broadcast is a stream whose sound comes from a publisher elsewhere: what a
// relay has beside its [Hub].
type Broadcast struct {
	hub    *Hub
	title  string // where the publisher says none
	tokens *token.Verifier
	member Member
	base   audio.Clock
	// Not mu, which is held while the Hub's is: the Hub calls changed under its
	// own.
	stirring sync.Mutex             // guards stirs
	stirs    map[chan struct{}]bool // of those who publish here: what they are told may have changed

	mu     sync.Mutex // guards the rest
	about  About
	epoch  uint64 // of the newest packet
	begun  bool   // a packet of this epoch has come
	next   uint32 // number of the next packet, as listeners see it
	shift  uint32 // to add to the publisher's numbers
	frame  time.Duration
	others []json.RawMessage
	count  int  // of listeners at other relays
	wanted bool // by anybody at those

	bytes, gaps atomic.Uint64 // of the sound that came
	late        atomic.Uint64 // messages of it that were too late, and went nowhere
}

// BroadcastConfig configures a [Broadcast].
type BroadcastConfig struct {
	Title  string          // until the publisher says it
	Tokens *token.Verifier // needed
}

// NewBroadcast returns a Broadcast that is offline. Join must be called before
// it is served.
func NewBroadcast(c BroadcastConfig) (*Broadcast, error) {
	b := &Broadcast{title: c.Title, tokens: c.Tokens, base: audio.NewClock(), frame: 20 * time.Millisecond, stirs: map[chan struct{}]bool{}}
	var err error
	b.hub, err = NewHub(HubConfig{
		Title:   c.Title,
		Format:  Format{Frame: shortest},
		Clock:   b.clock,
		Changed: b.changed,
	})
	if err != nil {
		return nil, err
	}
	if err := b.hub.Describe(c.Title, Format{Frame: b.frame}, Offline); err != nil {
		return nil, err
	}
	return b, nil
}

// Join makes m the stream's part in the relays. It is called once.
func (b *Broadcast) Join(m Member) { b.member = m }

// Hub returns the stream that listeners hear.
func (b *Broadcast) Hub() *Hub { return b.hub }

// clock is the publisher's, or where there is none any.
func (b *Broadcast) clock() time.Duration {
	if at, ok := b.member.Clock(); ok {
		return at
	}
	return b.base()
}

func (b *Broadcast) changed() {
	b.member.Changed()
	b.nudge()
}

// nudge makes the publishers' connections look at what has changed.
func (b *Broadcast) nudge() {
	b.stirring.Lock()
	defer b.stirring.Unlock()
	for stir := range b.stirs {
		select {
		case stir <- struct{}{}:
		default:
		}
	}
}

// tell makes nudge fill a channel of capacity 1, or no more.
func (b *Broadcast) tell(stir chan struct{}, on bool) {
	b.stirring.Lock()
	defer b.stirring.Unlock()
	if on {
		b.stirs[stir] = true
	} else {
		delete(b.stirs, stir)
	}
}

// Sound takes a message of the publisher's, whichever relay it is at: numbers
// rise within an epoch, and epochs only rise. For a [Member] to call.
func (b *Broadcast) Sound(epoch uint64, packets []audio.Packet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range packets {
		b.bytes.Add(uint64(len(p.Data)))
		if epoch != b.epoch || !b.begun {
			// Players take a step back for a packet that is late, and a great
			// one ahead for a loss: go on where the former publisher ended.
			if step := int32(p.Seq + b.shift - b.next); step < 0 || step > 1<<14 {
				b.shift = b.next - p.Seq
			}
			b.epoch, b.begun = epoch, true
		} else if p.Seq+b.shift != b.next {
			b.gaps.Add(1)
		}
		if b.about.State == "" { // a plain program, which says nothing
			if frame := frameOf(p); frame != b.frame && frame >= shortest {
				b.frame = frame
			}
			b.about = About{State: Live}
			b.describe()
		}
		p.Seq += b.shift
		b.next = p.Seq + 1
		b.hub.Publish(p)
	}
}

// State takes what a publisher said in Lease.Tell; about is nil before it did. For a
// [Member] to call.
func (b *Broadcast) State(epoch uint64, online bool, about []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !online {
		b.about.State = "" // who it was stays on the page
		b.describe()
		return
	}
	var a About
	if len(about) == 0 || json.Unmarshal(about, &a) != nil {
		return
	}
	b.about = a
	if frame := time.Duration(a.Frame * float64(time.Millisecond)); frame >= shortest {
		b.frame = frame
	}
	b.describe()
}

// describe tells listeners what the stream is. b.mu is held.
func (b *Broadcast) describe() {
	title, state := b.about.Title, b.about.State
	if title == "" {
		title = b.title
	}
	if state == "" {
		state = Offline
	}
	_ = b.hub.Describe(title, Format{Frame: b.frame, Bitrate: b.about.Bitrate}, state) // framing can't fail
}

// Wanted says whether anybody listens, at any relay. For a [Member] to call.
func (b *Broadcast) Wanted(wanted bool) {
	b.mu.Lock()
	b.wanted = wanted
	b.mu.Unlock()
	b.nudge()
}

// Others says who listens at other relays: so many, and JSON lists of
// [Listener]. For a [Member] to call.
func (b *Broadcast) Others(lists []json.RawMessage, count int) {
	b.mu.Lock()
	b.others, b.count = lists, count
	b.mu.Unlock()
	b.nudge()
}

// Kick ends the connection of a listener of this relay for good. For a [Member]
// to call.
func (b *Broadcast) Kick(id uint64) { b.hub.Kick(id) }

// Excess ends the connection of a listener whose link is in use by as many as it
// is for at other relays. For a [Member] to call.
func (b *Broadcast) Excess(id uint64) { b.hub.endOne(id, closeElsewhere) }

// Review ends the connections whose tokens are good no more. For a [Member] to
// call after each change of what is withdrawn.
func (b *Broadcast) Review() { b.hub.Review(good(b.tokens)) }

// Report tells who listens at this relay: how many, a JSON list of the first
// 200, and those who have a link for a number.
func (b *Broadcast) Report() (count int, listeners json.RawMessage, seats []Seat) {
	list := b.hub.Listeners()
	seats = b.hub.seats()
	return len(list), encode(first(list)), seats
}

func first(list []Listener) []Listener {
	list = slices.Clone(list[:min(len(list), listMost)])
	for i := range list {
		list[i].Stats = nil
	}
	return list
}

// listeners is who listens at any relay, for the publisher.
func (b *Broadcast) listeners() (count int, list []Listener) {
	list = b.hub.Listeners()
	count = len(list)
	list = first(list)
	b.mu.Lock()
	defer b.mu.Unlock()
	count += b.count
	for _, text := range b.others {
		var more []Listener
		if json.Unmarshal(text, &more) == nil {
			list = append(list, more...)
		}
	}
	return count, list[:min(len(list), listMost)]
}

// about returns what a publisher says of its stream made fit, or why it can't
// be.
func (a *About) clean() error {
	frame := a.Frame
	if !slices.Contains([]float64{0, 5, 10, 20, 40, 60}, frame) {
		return fmt.Errorf("packets of %g ms: use 5, 10, 20, 40 or 60", frame)
	}
	if !slices.Contains([]State{"", Live, Paused, Interrupted, Offline}, a.State) {
		return fmt.Errorf("there is no state %q", line.Clean(string(a.State), 20))
	}
	if a.State == "" {
		a.State = Live
	}
	a.Title, a.Clock = line.Clean(a.Title, maxTitle), line.Clean(a.Clock, maxTitle)
	a.Bitrate = min(max(a.Bitrate, 0), 1_000_000)
	return nil
}

const maxTitle = 100 // characters

// good returns how a listener's token is looked at again: by the verifier, but
// who came without one may stay.
func good(v *token.Verifier) func(token.Claims) (time.Time, bool) {
	return func(c token.Claims) (time.Time, bool) {
		if c == (token.Claims{}) {
			return time.Time{}, true
		}
		return v.Good(c)
	}
}
