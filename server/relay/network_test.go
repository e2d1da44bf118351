//go:build network && linux

package relay

import (
	"errors"
	"os/exec"
	"testing"
	"time"

	"earshot/server/nettest"
	"earshot/server/relay/relaytest"
)

// A server and the relay that has only it are cut off from the others, in a
// network namespace of its own: first the publisher's, then a listener's.
func TestNetworkCut(t *testing.T) {
	link := nettest.Connect(t, nettest.Conditions{Delay: 5 * time.Millisecond, Jitter: 2 * time.Millisecond}, 1)
	c := relaytest.NewClusterAt(t, link.NearAddr().String(), link.FarAddr().String(), func(cmd *exec.Cmd) (err error) {
		link.Far(func() { err = cmd.Start() })
		return err
	})
	var ears []*ear
	for i, name := range []string{"near", "near2", "far"} {
		ears = append(ears, newEar(t, Config{Name: name, URLs: []string{c.Nodes[i].URL()}}))
	}
	for _, e := range ears {
		eventually(t, 2*patience, e.bus.Name()+" has the bucket", e.bus.Admits)
		e.listen(1)
	}
	near, far := ears[0], ears[2]

	// The publisher is at the relay that is cut off.
	lost := far.mustClaim("laptop")
	defer play(lost, 1)()
	for _, e := range ears {
		e.hearing(patience)
	}
	link.Set(nettest.Conditions{Loss: 1})
	cut := time.Now()
	if _, err := near.claim("thief"); !errors.Is(err, ErrTaken) {
		t.Errorf("claim of another while the lease lasts: %v", err)
	}
	far.hearing(time.Second) // whoever listens at the publisher's relay hears on
	var next *Lease
	eventually(t, 2*leaseFor, "another gets the stream", func() bool {
		l, err := near.claim("friend")
		next = l
		return err == nil
	})
	t.Logf("the stream is another's after %v", time.Since(cut))
	if lost.Err() == nil {
		t.Error("both hold it")
	}
	defer play(next, 1)()
	eventually(t, patience, "the other relay hears", func() bool { return ears[1].last().epoch == next.Epoch() })
	eventually(t, cutOff-time.Since(cut)+time.Second, "nobody is admitted by link", func() bool { return !far.bus.Admits() })
	near.withdraw(Withdrawal{ID: "phone", Until: cut.Add(time.Hour)})
	if far.member.Withdrawn("phone", cut) {
		t.Error("the network isn't cut")
	}
	link.Set(nettest.Conditions{Delay: 5 * time.Millisecond})
	healed := time.Now()
	eventually(t, patience, "admitted again", far.bus.Admits)
	if !far.member.Withdrawn("phone", cut) {
		t.Error("admits and doesn't know what was withdrawn")
	}
	eventually(t, patience, "sound at the far relay", func() bool { return far.last().epoch == next.Epoch() })
	t.Logf("whole again after %v", time.Since(healed))

	// A listener's relay is cut off: the others hear on.
	link.Set(nettest.Conditions{Loss: 1})
	cut = time.Now()
	time.Sleep(leaseFor + time.Second)
	if gap := ears[1].gap(cut); gap > time.Second {
		t.Errorf("%v without sound", gap)
	}
	if next.Err() != nil {
		t.Errorf("lease: %v", next.Err())
	}
	eventually(t, patience, "a relay that knows nothing says that nobody publishes", func() bool { return !far.online() })
	link.Set(nettest.Conditions{})
	far.hearing(patience)
}
