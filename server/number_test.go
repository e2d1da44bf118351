package server

import (
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"earshot/audio"
)

// Who is told that somebody left may be waiting for who asks for a number.
func TestNumberWhileAListenerLeaves(t *testing.T) {
	done := make(chan struct{}, 1)
	var h *Hub
	h, err := NewHub(HubConfig{Title: "t", Format: Format{Frame: 20 * time.Millisecond}, Clock: audio.NewClock(), Changed: func() {
		number := make(chan uint64)
		go func() { number <- h.Number() }()
		<-number
		select {
		case done <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	go h.leave(&listener{hub: h, conn: &websocket.Conn{}})
	select {
	case <-done:
	case <-time.After(deadline):
		t.Fatal("neither gets on")
	}
}
