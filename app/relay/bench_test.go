package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"earshot/server/relay/relaytest"
	"earshot/server/uplink"
)

// BenchmarkRelayCrowd measures what a listener costs a relay: processor time a
// second and memory, in each lane. The listeners are at all three relays, and
// take their part of the same computer.
func BenchmarkRelayCrowd(b *testing.B) {
	for _, row := range []struct {
		lane string
		size int
	}{{"live", 300}, {"balanced", 1500}, {"radio", 1500}} {
		b.Run(fmt.Sprintf("%s-%d", row.lane, row.size), func(b *testing.B) {
			f := newFleet(b)
			u := f.publish()
			eventually(b, patience, "published", func() bool { return u.Status().State == uplink.Connected })
			// sum adds up what is so of the relays.
			sum := func(of func(pid int) float64) (all float64) {
				for _, p := range f.programs {
					all += of(p.cmd.Process.Pid)
				}
				return all
			}
			cpu := func(pid int) float64 { return relaytest.CPU(pid).Seconds() }
			size := float64(row.size)
			idle := sum(resident)
			c := f.listenAt(row.size, "lane="+row.lane, false)
			eventually(b, 2*patience, "all hear", c.all)
			time.Sleep(3 * time.Second) // they change lanes
			c.reset()
			before, nats, begin := sum(cpu), f.nats.CPU(), time.Now()
			for b.Loop() {
				time.Sleep(10 * time.Second)
			}
			took := time.Since(begin).Seconds()
			b.ReportMetric(0, "ns/op")
			b.ReportMetric((sum(cpu)-before)/took/size*1e6, "µs-cpu/listener/s")
			b.ReportMetric((f.nats.CPU()-nats).Seconds()/took*1e3, "ms-nats-cpu/s")
			b.ReportMetric((sum(resident)-idle)/size/1024, "kB/listener")
			b.ReportMetric(time.Duration(c.longer.Load()).Seconds()*1e3, "ms-longest-gap")
			if n := c.wrong.Load(); n > 0 {
				b.Errorf("%d packets twice or out of order", n)
			}
		})
	}
}

// resident is how much memory a process has, in bytes: proc(5), /proc/pid/statm.
func resident(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	var pages float64
	fmt.Sscan(strings.Fields(string(text))[1], &pages)
	return pages * float64(os.Getpagesize())
}
