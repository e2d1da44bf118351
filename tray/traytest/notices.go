package traytest

import (
	"slices"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

// Notice is a notification as a program sent it. Body is markup.
type Notice struct {
	App, Title, Body string
	Actions          []string
	Hints            map[string]dbus.Variant
	Expire           int32 // in ms; -1 as the service likes
}

// Notices is a notification service.
type Notices struct {
	t testing.TB

	mu  sync.Mutex
	all []Notice
}

// StartNotices brings a notification service up on b.
func (b *Bus) StartNotices() *Notices {
	b.t.Helper()
	n := &Notices{t: b.t}
	conn := b.Connect()
	const name = "org.freedesktop.Notifications"
	if err := conn.Export(service{n}, "/org/freedesktop/Notifications", name); err != nil {
		b.t.Fatal(err)
	}
	own(b.t, conn, name)
	return n
}

// All is what was sent so far, oldest first.
func (n *Notices) All() []Notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.all)
}

// Wait waits for a notification that ok accepts. what says which that is.
func (n *Notices) Wait(what string, ok func(Notice) bool) Notice {
	n.t.Helper()
	var found Notice
	Until(n.t, what, func() bool {
		all := n.All()
		i := slices.IndexFunc(all, ok)
		if i >= 0 {
			found = all[i]
		}
		return i >= 0
	})
	return found
}

// service is what programs see of Notices on the bus (Desktop Notifications
// Specification 1.2).
type service struct{ n *Notices }

// Notify is called with a notification to show.
func (s service) Notify(app string, replaces uint32, icon, title, body string, actions []string,
	hints map[string]dbus.Variant, expire int32) (uint32, *dbus.Error) {
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	s.n.all = append(s.n.all, Notice{app, title, body, actions, hints, expire})
	return uint32(len(s.n.all)), nil
}

// GetCapabilities says what the service can show.
func (s service) GetCapabilities() ([]string, *dbus.Error) {
	return []string{"body", "body-markup"}, nil
}
