package relay

import (
	"os"
	"slices"
	"testing"
	"time"

	"earshot/audio"
	"earshot/server/relay/relaytest"
)

// BenchmarkRelayHop measures what NATS adds between the publisher's relay and
// another: the delay, at the pace of one stream, where both have a server of
// their own and where they share one; and what a message costs the servers, at
// the pace of forty streams.
func BenchmarkRelayHop(b *testing.B) {
	for _, shared := range []bool{false, true} {
		name := "two servers"
		if shared {
			name = "one server"
		}
		b.Run(name, func(b *testing.B) {
			c := relaytest.NewCluster(b)
			ears := startEars(b, c)
			from, to := ears[0], ears[1]
			if shared {
				from = newEar(b, Config{Name: "from", URLs: []string{c.Nodes[1].URL()}})
				eventually(b, patience, "the relay has the bucket", from.bus.Admits)
			}
			to.listen(1)
			l := from.mustClaim("laptop")
			eventually(b, patience, "wanted", l.wanted.Load)
			var seq uint32
			send := func(n int, every time.Duration, atOnce int) {
				tick := time.NewTicker(every)
				defer tick.Stop()
				for range n {
					<-tick.C
					for range atOnce {
						seq++
						_ = l.Publish(audio.AppendMessage(nil, audio.Packet{Seq: seq, At: testClock(), Data: make([]byte, 320)}))
					}
				}
				eventually(b, patience, "all heard", func() bool { return to.last().seq == seq })
			}
			delays := func() []time.Duration {
				to.mu.Lock()
				defer to.mu.Unlock()
				var all []time.Duration
				for _, h := range to.heard {
					all = append(all, h.after)
				}
				slices.Sort(all)
				to.heard = nil
				return all
			}
			send(50, 20*time.Millisecond, 1) // to warm up
			delays()
			for b.Loop() {
				send(1000, 20*time.Millisecond, 1)
			}
			all := delays()
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
			before, own := c.CPU(), relaytest.CPU(os.Getpid())
			const n = 500
			send(n, 20*time.Millisecond, 40)
			used, mine := c.CPU()-before, relaytest.CPU(os.Getpid())-own
			b.ReportMetric(float64(used.Microseconds())/(40*n), "nats-µs/message")
			b.ReportMetric(float64(mine.Microseconds())/(40*n), "relays-µs/message")
		})
	}
}
