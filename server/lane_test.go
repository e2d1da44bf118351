package server

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"earshot/audio"
)

// lanes reads what a listener is sent: packets, in messages of the lane that was
// announced last.
type lanes struct {
	t    *testing.T
	conn *websocket.Conn
	lane Lane
	next uint32 // packet to come
	most int    // packets in a message since the last announcement
}

// read takes one message.
func (l *lanes) read() {
	l.t.Helper()
	kind, msg, err := l.conn.ReadMessage()
	if err != nil {
		l.t.Fatal(err)
	}
	if kind == websocket.TextMessage {
		var m laneMessage
		if err := json.Unmarshal(msg, &m); err != nil || m.Type != "lane" {
			return // a state
		}
		l.lane, l.most = m.Lane, 0
		if want := map[Lane]int64{LiveLane: 20, BalancedLane: 100, RadioLane: 1000}[m.Lane]; m.Length != want {
			l.t.Fatalf("%s has messages of %d ms", m.Lane, m.Length)
		}
		return
	}
	packets, err := audio.ParseMessage(msg)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, p := range packets {
		if p.Seq != l.next {
			l.t.Fatalf("%s: got %d, want %d, of %d", l.lane, p.Seq, l.next, len(packets))
		}
		l.next++
	}
	l.most = max(l.most, len(packets))
}

// ask asks for a lane.
func (l *lanes) ask(lane Lane) {
	l.t.Helper()
	if err := l.conn.WriteJSON(report{Type: "lane", Lane: lane}); err != nil {
		l.t.Fatal(err)
	}
}

// A listener that goes from lane to lane, in whatever order, gets every packet
// once and in order, in messages as long as was said before.
func TestLanes(t *testing.T) {
	r := start(t)
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	l := &lanes{t: t, conn: r.join("/listen"), lane: LiveLane}
	all := []Lane{LiveLane, BalancedLane, RadioLane}
	packets := map[Lane]int{LiveLane: 1, BalancedLane: 5, RadioLane: 50}
	seq := uint32(0)
	for range 25 { // more at once would be refused
		want := all[random.IntN(len(all))]
		l.ask(want)
		for range random.IntN(30) { // or changes its mind before
			r.publish(seq, 1+random.IntN(100))
			seq++
		}
		if random.IntN(2) == 0 {
			continue
		}
		for r.hub.Listeners()[0].Lane != want || l.lane != want || l.most < packets[want] {
			r.publish(seq, 1+random.IntN(100))
			seq++
			for l.lane == LiveLane && l.next < seq {
				l.read()
			}
			for seq > l.next+120 { // two of the longest are on their way
				l.read()
			}
		}
		if l.most != packets[want] {
			t.Fatalf("%s: message of %d packets", want, l.most)
		}
	}
	_ = l.conn.Close()
	waitFor(t, "nobody is in any lane", func() bool {
		r.hub.publishing.Lock()
		defer r.hub.publishing.Unlock()
		for _, name := range all {
			if r.hub.lane(name).users != 0 {
				return false
			}
		}
		return true
	})
	for _, lane := range r.hub.wider {
		before := lane.next.Load()
		for range 100 {
			r.publish(seq, 1)
		}
		if lane.next.Load() != before {
			t.Errorf("%s makes messages for nobody", lane.name)
		}
	}
}

// Who joins with a lane gets what it asks for at once, and then the lane's
// messages; what waits for more sound is sent when none is to come.
func TestJoinLane(t *testing.T) {
	r := start(t)
	for seq := range uint32(60) {
		r.publish(seq, 10)
	}
	if err := r.hub.SetState(Live); err != nil {
		t.Fatal(err)
	}
	l := &lanes{t: t, conn: r.join("/listen?buffer=4000&lane=radio"), lane: LiveLane}
	for l.next < 60 {
		l.read()
	}
	for seq := range uint32(20) {
		r.publish(60+seq, 10)
	}
	if err := r.hub.SetState(Paused); err != nil {
		t.Fatal(err)
	}
	for l.next < 80 {
		l.read()
	}
	if l.lane != RadioLane || l.most != 20 {
		t.Errorf("%s, %d packets in a message", l.lane, l.most)
	}

	_, resp, err := r.dial("/listen?lane=fast", http.Header{"Token": {r.token(time.Hour)}})
	if err == nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("an unknown lane: %v", err)
	}
	l.ask("fast") // is ignored
	r.publish(80, 10)
	if err := r.hub.SetState(Live); err != nil {
		t.Fatal(err)
	}
	if err := r.hub.SetState(Paused); err != nil {
		t.Fatal(err)
	}
	for l.next < 81 {
		l.read()
	}
}
