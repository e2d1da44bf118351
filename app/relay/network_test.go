//go:build network && linux

package main

import (
	"os/exec"
	"testing"
	"time"

	"earshot/server/nettest"
	"earshot/server/relay/relaytest"
	"earshot/server/uplink"
)

// A relay and a NATS server are in a network of their own, where they can be cut
// off from two others of each, with a crowd at all three. Who listens at the two
// hears on when the third is cut off, at the latest when the laptop has come to
// one of them; and all hear when the network is whole again.
func TestNetworkFleet(t *testing.T) {
	good := nettest.Conditions{Delay: 5 * time.Millisecond, Jitter: 2 * time.Millisecond}
	link := nettest.Connect(t, good, 1)
	far := func(cmd *exec.Cmd) (err error) {
		link.Far(func() { err = cmd.Start() })
		return err
	}
	host := link.NearAddr().String()
	near := site{host, "127.0.0.1", (*exec.Cmd).Start}
	f := newFleetAt(t, relaytest.NewClusterAt(t, host, link.FarAddr().String(), far),
		[]site{near, near, {link.FarAddr().String(), "", far}}, "public = true")
	u := f.publish()
	eventually(t, patience, "published", func() bool { return u.Status().State == uplink.Connected })
	c := f.listen(300)
	eventually(t, 2*patience, "all hear", c.all)
	eventually(t, patience, "the owner sees them", func() bool { return u.Status().Count == c.size })

	// Those at the far relay notice nothing but silence, and come back when their
	// players give the connection up: this crowd does so when it is whole again.
	link.Set(nettest.Conditions{Loss: 1})
	cut := time.Now()
	eventually(t, 40*time.Second, "the laptop has a relay that is not cut off", func() bool {
		s := u.Status()
		return s.State == uplink.Connected && s.Count > 0 && time.Since(cut) > 5*time.Second
	})
	t.Logf("the laptop is at a relay %v after the cut", time.Since(cut))
	link.Set(good)
	healed := time.Now()
	eventually(t, 2*patience, "all hear again", func() bool {
		c.reset()
		time.Sleep(time.Second)
		return c.all() && time.Duration(c.longer.Load()) < 2*time.Second && u.Status().Count == c.size
	})
	t.Logf("all hear %v after it is whole", time.Since(healed))
	if n := c.wrong.Load(); n > 0 {
		t.Errorf("%d packets were heard twice or out of order", n)
	}
}
