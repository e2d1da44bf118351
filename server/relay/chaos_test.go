package relay

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"earshot/server/relay/relaytest"
)

var chaosSeed = flag.Uint64("seed", 0, "of the test of chaos; 0 is another each time")

// Laptops come, go and race for the stream at relays whose servers die and lose
// each other. Whatever happens, no two of them hold it at a time, nobody hears
// packets of two of them mixed, twice or out of order (newEar sees to that), and
// in the end all is well again.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed := *chaosSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := relaytest.NewCluster(t)
	ears := startEars(t, c)
	for _, e := range ears {
		e.listen(1)
	}

	var mu sync.Mutex
	holding := map[*Lease]bool{}
	claims, taken, unavailable := 0, 0, 0
	var laptops sync.WaitGroup
	quit := make(chan struct{})
	for k := range 3 {
		random := rand.New(rand.NewPCG(seed, uint64(k+1)))
		identity := fmt.Sprintf("laptop %d", k)
		laptops.Go(func() {
			for {
				select {
				case <-quit:
					return
				case <-time.After(time.Duration(random.IntN(300)) * time.Millisecond):
				}
				l, err := ears[random.IntN(len(ears))].claim(identity)
				mu.Lock()
				switch {
				case errors.Is(err, ErrTaken):
					taken++
				case errors.Is(err, ErrUnavailable):
					unavailable++
				case err != nil:
					t.Error(err)
				default:
					claims++
					for o := range holding {
						if o.Err() == nil && o.claim.Identity != identity {
							t.Errorf("%s got epoch %d while %s has %d", identity, l.Epoch(), o.claim.Identity, o.Epoch())
						}
					}
					holding[l] = true
				}
				mu.Unlock()
				if err != nil {
					continue
				}
				stop := play(l, random.Uint32())
				select {
				case <-quit:
				case <-l.Done():
				case <-time.After(time.Duration(random.IntN(1500)) * time.Millisecond):
				}
				stop()
				if random.IntN(4) > 0 { // else its relay seems to have forgotten it, and comes back
					// Before it can be another's.
					mu.Lock()
					delete(holding, l)
					mu.Unlock()
					l.Release()
				}
			}
		})
	}

	end := time.Now().Add(40 * time.Second)
	for time.Now().Before(end) {
		i := random.IntN(3)
		switch random.IntN(3) {
		case 0:
			t.Logf("server %d dies", i)
			c.Nodes[i].Kill()
			time.Sleep(time.Duration(random.IntN(6000)) * time.Millisecond)
			c.Nodes[i].Begin()
		case 1:
			t.Logf("servers %d and %d lose each other", i, (i+1)%3)
			for _, way := range c.Ways(i, (i+1)%3) {
				way.Cut()
			}
			time.Sleep(time.Duration(random.IntN(6000)) * time.Millisecond)
			for _, way := range c.Ways(i, (i+1)%3) {
				way.Heal()
			}
		case 2:
			t.Logf("%s changes its server", ears[i].bus.Name())
			_ = ears[i].bus.nc.ForceReconnect()
		}
		time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
	}
	close(quit)
	laptops.Wait()
	t.Logf("%d claims, %d times taken, %d times unavailable", claims, taken, unavailable)

	for l := range holding {
		l.Release()
	}
	eventually(t, 4*patience, "somebody gets the stream", func() bool {
		l, err := ears[0].claim("the last")
		if err != nil {
			return false
		}
		defer play(l, 1)()
		for _, e := range ears {
			eventually(t, patience, e.bus.Name()+" hears", func() bool { return e.last().epoch == l.Epoch() })
		}
		l.Release()
		return true
	})
}
