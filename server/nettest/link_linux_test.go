package nettest

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// echoes answers datagrams at the far end.
func echoes(t *testing.T, l *Link) netip.AddrPort {
	t.Helper()
	var conn *net.UDPConn
	l.Far(func() {
		var err error
		if conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(l.FarAddr(), 0))); err != nil {
			t.Fatal(err)
		}
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(buf[:n], from)
		}
	})
	t.Cleanup(func() { conn.Close(); wg.Wait() })
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// ping sends n datagrams and returns the round trips of those that came back
// within wait after the last was sent, in the order in which they did.
func ping(t *testing.T, to netip.AddrPort, n int, wait time.Duration) (trips []time.Duration, order []int) {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var back []time.Time
	sent := make([]time.Time, n)
	var reader sync.WaitGroup
	reader.Go(func() {
		buf := make([]byte, 4)
		for len(order) < n {
			if _, err := conn.Read(buf); err != nil {
				return
			}
			order = append(order, int(binary.BigEndian.Uint32(buf)))
			back = append(back, time.Now())
		}
	})
	for i := range sent {
		sent[i] = time.Now()
		if _, err := conn.Write(binary.BigEndian.AppendUint32(nil, uint32(i))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // the pace, not a wait for something
	}
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	reader.Wait()
	for i, at := range back {
		trips = append(trips, at.Sub(sent[order[i]]))
	}
	return trips, order
}

func inOrder(order []int) bool {
	for i := 1; i < len(order); i++ {
		if order[i] < order[i-1] {
			return false
		}
	}
	return true
}

func TestDelay(t *testing.T) {
	l := Connect(t, Conditions{Delay: 60 * time.Millisecond, Jitter: 30 * time.Millisecond}, 1)
	to := echoes(t, l)
	trips, order := ping(t, to, 100, patience)
	if len(trips) != 100 || !inOrder(order) {
		t.Errorf("%d of 100 came back, in order: %v", len(trips), inOrder(order))
	}
	for _, trip := range trips {
		if trip < 60*time.Millisecond {
			t.Errorf("there and back in %v", trip)
		}
	}
	l.Set(Conditions{Delay: 60 * time.Millisecond, Jitter: 30 * time.Millisecond, Reorder: true})
	if trips, order = ping(t, to, 100, patience); len(trips) != 100 || inOrder(order) {
		t.Errorf("%d of 100 came back, in order: %v", len(trips), inOrder(order))
	}
}

func TestLoss(t *testing.T) {
	const n = 500
	var lost []int
	for range 2 {
		l := Connect(t, Conditions{Loss: 0.2}, 3)
		trips, _ := ping(t, echoes(t, l), n, 500*time.Millisecond)
		_, gone := l.Counts()
		if gone != n-len(trips) {
			t.Errorf("%d of %d came back, but %d were lost", len(trips), n, gone)
		}
		if part := float64(n-len(trips)) / n; math.Abs(part-0.36) > 0.1 { // there or back
			t.Errorf("lost %.2f", part)
		}
		lost = append(lost, gone)
	}
	if lost[0] != lost[1] {
		t.Errorf("lost %v with one seed", lost)
	}
}

// TCP gets everything through what is lost and reordered, and nothing through
// an outage until it ends.
func TestTCP(t *testing.T) {
	bad := Conditions{Delay: 2 * time.Millisecond, Jitter: time.Millisecond, Loss: 0.02, Reorder: true}
	l := Connect(t, bad, 4)
	var ln net.Listener
	l.Far(func() {
		var err error
		if ln, err = net.Listen("tcp", netip.AddrPortFrom(l.FarAddr(), 0).String()); err != nil {
			t.Fatal(err)
		}
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(conn, conn)
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })

	conn, err := net.DialTimeout("tcp", ln.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	echo := func(n int) time.Duration {
		t.Helper()
		sent, got := make([]byte, n), make([]byte, n)
		rand.NewChaCha8([32]byte{}).Read(sent)
		begin := time.Now()
		if err := conn.SetDeadline(begin.Add(patience)); err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		go func() { _, err := conn.Write(sent); failed <- err }()
		if _, err := io.ReadFull(conn, got); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, sent) {
			t.Error("what came back is something else")
		}
		return time.Since(begin)
	}
	echo(200_000)
	sent, lost := l.Counts()
	if lost == 0 || sent < 200 {
		t.Errorf("%d of %d packets lost", lost, sent)
	}

	l.Set(Conditions{Loss: 1})
	const outage = 300 * time.Millisecond
	end := time.AfterFunc(outage, func() { l.Set(Conditions{}) })
	defer end.Stop()
	if took := echo(1000); took < outage {
		t.Errorf("an echo in %v through an outage of %v", took, outage)
	}
}
