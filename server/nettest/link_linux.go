package nettest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Link is a network between this process's own namespace, the near end, and a
// new one, the far end, which nothing else leads to. It goes with the test.
type Link struct {
	t         testing.TB
	near, far netip.Addr
	namespace *os.File // the far end's
	there     *lane
	back      *lane
}

// Connect makes a link. What it does to packets depends on nothing but the seed
// and their order in their direction. It takes root.
func Connect(t testing.TB, c Conditions, seed uint64) *Link {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("a network of its own takes root: run this test as root")
	}
	if _, err := os.Stat(tunPath); err != nil {
		t.Fatalf("a network of its own takes TUN devices: %v; modprobe tun, or in a container --device %s", err, tunPath)
	}
	l := &Link{t: t}
	// One of the networks of four in 198.18.0.0/15, which is for measuring
	// networks: RFC 2544, appendix C.2.2.
	var base [4]byte
	binary.BigEndian.PutUint32(base[:], 198<<24|18<<16|rand.Uint32N(1<<15)<<2)
	l.near = netip.AddrFrom4(base).Next()
	l.far = l.near.Next()

	near, err := openTUN(l.near)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	l.namespace = l.unshare()
	var far *os.File
	l.Far(func() {
		if far, err = openTUN(l.far); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { far.Close() })

	l.there = newLane(near, far, c, rand.New(rand.NewPCG(seed, 1)))
	l.back = newLane(far, near, c, rand.New(rand.NewPCG(seed, 2)))
	var lanes sync.WaitGroup
	stop := make(chan struct{})
	for _, lane := range []*lane{l.there, l.back} {
		lanes.Go(lane.read)
		lanes.Go(func() { lane.write(stop) })
	}
	t.Cleanup(func() {
		close(stop)
		near.Close()
		far.Close()
		lanes.Wait()
	})
	return l
}

// NearAddr is the address of this end.
func (l *Link) NearAddr() netip.Addr { return l.near }

// FarAddr is that of the far end.
func (l *Link) FarAddr() netip.Addr { return l.far }

// Set changes what happens to packets from now on, in both directions.
func (l *Link) Set(c Conditions) {
	l.there.set(c)
	l.back.set(c)
}

// Counts tells how many packets came into the link and how many of them it lost,
// both directions together.
func (l *Link) Counts() (sent, lost int) {
	for _, lane := range []*lane{l.there, l.back} {
		lane.mu.Lock()
		sent += lane.sent
		lost += lane.lost
		lane.mu.Unlock()
	}
	return sent, lost
}

// Far runs f at the far end, on the caller's goroutine: processes that it
// starts and sockets that it opens itself belong there for ever. What f starts
// as other goroutines is at the near end.
func (l *Link) Far(f func()) {
	l.t.Helper()
	l.roam(func() {
		if err := unix.Setns(int(l.namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			l.t.Fatalf("enter the far network: %v", err)
		}
		f()
	})
}

// unshare makes the far namespace and returns it.
func (l *Link) unshare() (namespace *os.File) {
	l.t.Helper()
	l.roam(func() {
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			namespace, err = os.Open(threadNamespace)
		}
		if err != nil {
			l.t.Fatalf("make a network namespace: %v; that takes root, and in a container --privileged", err)
		}
	})
	l.t.Cleanup(func() { namespace.Close() })
	return namespace
}

// threadNamespace is the network namespace of the calling thread.
const threadNamespace = "/proc/thread-self/ns/net"

// roam runs f, which may change the namespace of its thread, and comes back.
// The thread lives on: child processes may be bound to its life.
func (l *Link) roam(f func()) {
	l.t.Helper()
	runtime.LockOSThread()
	home, err := os.Open(threadNamespace)
	if err != nil {
		runtime.UnlockOSThread()
		l.t.Fatalf("find this network namespace: %v", err)
	}
	defer func() {
		err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET)
		home.Close()
		if err != nil {
			// Left locked, the thread ends with its goroutine.
			l.t.Errorf("return to this network: %v", err)
			return
		}
		runtime.UnlockOSThread()
	}()
	f()
}

// tunPath is where TUN devices are made: Documentation/networking/tuntap.rst of
// the kernel.
const tunPath = "/dev/net/tun"

// openTUN makes a TUN device in the thread's namespace, with an address in a
// network of four. It goes when it is closed.
func openTUN(addr netip.Addr) (_ *os.File, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make a TUN device: %w", err)
		}
	}()
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq("")
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	// The runtime polls it, so that Close ends a Read. Before it has its kind it
	// can't be polled.
	tun := os.NewFile(uintptr(fd), "tun")
	if err := configure(request.Name(), addr); err != nil {
		tun.Close()
		return nil, err
	}
	return tun, nil
}

// configure gives an interface its address and switches it on: netdevice(7).
func configure(name string, addr netip.Addr) error {
	// An address of its own choice that comes seconds later is a change of the
	// network, on which browsers start over.
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	ip := addr.As4()
	for _, step := range []struct {
		request uint
		set     func(*unix.Ifreq) error
	}{
		{unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(ip[:]) }},
		{unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 252}) }},
		{unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }},
	} {
		request, err := unix.NewIfreq(name)
		if err == nil {
			err = step.set(request)
		}
		if err == nil {
			err = unix.IoctlIfreq(s, step.request, request)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
