//go:build linux

package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"earshot/server/uplink"
	"earshot/tray/traytest"
)

// island is a network namespace with no network but a cable to nowhere.
type island struct {
	t     testing.TB
	enter []string // runs what follows in it
}

func newIsland(t testing.TB) *island {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("a network of its own takes root: run the test as root, as ./build/test does")
	}
	keeper := exec.Command("unshare", "--net", "sleep", "infinity")
	if err := keeper.Start(); err != nil {
		t.Fatalf("make a network namespace (Debian package util-linux): %v", err)
	}
	t.Cleanup(func() { _ = keeper.Process.Kill(); _ = keeper.Wait() })
	i := &island{t: t, enter: []string{"nsenter", "--net=/proc/" + strconv.Itoa(keeper.Process.Pid) + "/ns/net"}}
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	traytest.Until(t, "the network namespace", func() bool {
		theirs, err := os.Readlink("/proc/" + strconv.Itoa(keeper.Process.Pid) + "/ns/net")
		return err == nil && theirs != ours
	})
	i.ip("link set lo up")
	i.ip("link add wlan0 type veth peer name elsewhere")
	i.ip("link set wlan0 up")
	i.ip("link set elsewhere up")
	return i
}

func (i *island) ip(args string) {
	i.t.Helper()
	cmd := exec.Command(i.enter[0], append(append(i.enter[1:len(i.enter):len(i.enter)], "ip"), strings.Fields(args)...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		i.t.Fatalf("ip %s (Debian package iproute2): %v %s", args, err, out)
	}
}

// connect gives it an address and a way out; the former ones are gone.
func (i *island) connect(address, router string) {
	i.t.Helper()
	i.ip("addr flush dev wlan0")
	i.ip("addr add " + address + "/24 dev wlan0")
	i.ip("route add default via " + router)
}

// The address in a link is the one that the computer has just then, and the
// firewall of that network is asked.
func TestAsRootNetworkChanges(t *testing.T) {
	island := newIsland(t)
	bus, system, display := traytest.StartBus(t), traytest.StartBus(t), traytest.StartDisplay(t)
	desktop, notices := bus.StartTray(), bus.StartNotices()
	var asked atomic.Bool
	service := system.Connect()
	for face, methods := range map[string]map[string]string{
		firewalld:     {"GetDefaultZone": "getDefaultZone"},
		firewalldZone: {"GetZoneOfInterface": "getZoneOfInterface", "GetZoneSettings2": "getZoneSettings2", "QueryPort": "queryPort"},
	} {
		if err := service.ExportWithMap(firewalldService{zone: "home", asked: &asked}, methods, firewalldPath, face); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := service.RequestName(firewalld, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}

	r := &running{t: t, env: system.SystemEnv(display.Env(bus.Env(plainEnv(t.TempDir())))), data: t.TempDir(), in: island.enter, log: &output{}}
	r.start("--source", "tone", "--listen", ":0")
	icon := desktop.Item(r.cmd.Process.Pid)
	_, port, _ := strings.Cut(r.address(), "]:")
	copied := 0
	link := func() (link, said string) {
		t.Helper()
		icon.Choose("Copy share link")
		copied++
		var found []traytest.Notice
		traytest.Until(t, "the notification of the link", func() bool {
			found = nil
			for _, n := range notices.All() {
				if n.Title == "Share link copied" {
					found = append(found, n)
				}
			}
			return len(found) == copied
		})
		paste := exec.Command("xclip", "-out", "-selection", "clipboard")
		paste.Env = display.Env(os.Environ())
		text, err := paste.Output()
		if err != nil {
			t.Fatalf("paste (Debian package xclip): %v", err)
		}
		link, _, _ = strings.Cut(string(text), "/#")
		return link, found[copied-1].Body
	}

	if link, said := link(); link != "http://localhost:"+port || !strings.Contains(said, "no network now") || strings.Contains(said, "firewall") {
		t.Errorf("without a network: %s, %q", link, said)
	}
	for _, address := range []string{"192.0.2.10", "198.51.100.7"} {
		island.connect(address, address[:strings.LastIndex(address, ".")]+".1")
		link, said := link()
		if want := "http://" + address + ":" + port; link != want || r.status().URL != want {
			t.Errorf("with the address %s: %s, and the status %s", address, link, r.status().URL)
		}
		if !strings.Contains(said, "on this network") || !strings.Contains(said, "firewall-cmd --permanent --zone=home --add-port="+port+"/tcp") {
			t.Errorf("with the address %s: %q", address, said)
		}
	}

	doctor := exec.Command(island.enter[0], append(island.enter[1:len(island.enter):len(island.enter)], r.cmd.Args[len(island.enter)], "--data", r.data, "doctor", "--json", "--source", "tone")...)
	doctor.Env = r.env
	out, _ := doctor.Output()
	_, by := examined(t, result{out: string(out), err: "not all is well", status: 1})
	expect(t, by["address"], checkOK, "http://198.51.100.7:"+port, "on this network")
	expect(t, by["firewall"], checkWrong, "firewalld", "--zone=home")

	island.ip("link set wlan0 down")
	if link, _ := link(); link != "http://localhost:"+port {
		t.Errorf("without a network again: %s", link)
	}
}

// In another network Earshot tries a relay again at once, and not when its turn
// has come.
func TestAsRootRelayInAnotherNetwork(t *testing.T) {
	island := newIsland(t)
	island.connect("192.0.2.10", "192.0.2.1")
	r := &running{t: t, env: plainEnv(t.TempDir()), data: t.TempDir(), in: island.enter, log: &output{}}
	r.start("--headless", "--source", "tone", "--listen", "127.0.0.1:0")
	path, err := relayBinary()
	if err != nil {
		t.Fatal(err)
	}
	relay := &relayProgram{t: t, folder: t.TempDir()}
	const addr = "127.0.0.1:3278"
	begin := func(stream string) (end func()) {
		t.Helper()
		text := "listen = \"" + addr + "\"\nurl = \"http://" + addr + "\"\nmetrics = \"\"\ndata = \"" + relay.folder + "/data\"\n" +
			"[[stream]]\nname = \"" + stream + "\"\nkeys = [\"" + r.must("relay", "key") + "\"]\n"
		if err := os.WriteFile(relay.config(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		log := &output{}
		cmd := exec.Command(island.enter[0], append(island.enter[1:len(island.enter):len(island.enter)], path, "--config", relay.config())...)
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end = sync.OnceFunc(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		t.Cleanup(end)
		waitFor(t, "the relay", func() bool { return strings.Contains(log.String(), "knows what is withdrawn") })
		return end
	}
	end := begin("other")
	r.must("relay", "add", "ws://"+addr+"/radio")
	r.waitStatus("refused", func(s status) bool { return len(s.Relays) == 1 && s.Relays[0].State == uplink.Refused })
	end()
	begin("radio")
	connected := func() bool { return r.status().Relays[0].State == uplink.Connected }
	for end := time.Now().Add(2 * lookAtNetwork); time.Now().Before(end); time.Sleep(lookAtNetwork / 4) {
		if connected() {
			t.Fatal("it tries again by itself, so this test says nothing")
		}
	}
	moved := time.Now()
	island.connect("198.51.100.7", "198.51.100.1")
	waitFor(t, "connected", connected)
	if took := time.Since(moved); took > 2*lookAtNetwork {
		t.Errorf("connected %v after the network changed", took)
	}
}
