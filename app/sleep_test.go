//go:build linux

package main

import (
	"encoding/json"
	"syscall"
	"testing"
	"time"

	"earshot/audio"
	"earshot/audio/audiotest"
	"earshot/tray/traytest"

	"github.com/gorilla/websocket"
)

// heardState reads on until the stream's state is said to be want; the packets
// until then are dropped.
func heardState(t *testing.T, conn *websocket.Conn, want string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	for {
		kind, text, err := conn.ReadMessage()
		if err != nil {
			t.Fatalf("waiting for the state %s: %v", want, err)
		}
		var m struct{ Type, State string }
		if kind == websocket.TextMessage && json.Unmarshal(text, &m) == nil && m.Type == "state" && m.State == want {
			return
		}
	}
}

// heardPacket returns the first packet of the next message.
func heardPacket(t *testing.T, conn *websocket.Conn) audio.Packet {
	t.Helper()
	for {
		kind, msg, err := conn.ReadMessage()
		if err != nil {
			t.Fatalf("waiting for sound: %v", err)
		}
		if kind != websocket.BinaryMessage {
			continue
		}
		packets, err := audio.ParseMessage(msg)
		if err != nil {
			t.Fatal(err)
		}
		return packets[0]
	}
}

// Before the computer sleeps listeners are told, and the sound device is closed.
// Once it is awake they hear it again, and nothing from before.
func TestSleep(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers")
	sound.PlaySine("speakers", pitch)
	logind := traytest.StartBus(t)
	computer := logind.StartLogind()
	r := launch(t, logind.SystemEnv(soundEnv(t, sound)), "--headless", "--start")
	conn, _, _ := r.listen(r.made("--name", "Ann").Token)
	last := heardPacket(t, conn)
	streams := sound.Streams()

	for range 3 { // it waits for the next sleep, too
		computer.Sleep()
		heardState(t, conn, "offline")
		waitFor(t, "the sound device to be closed", func() bool { return sound.Streams() == streams-1 })
		awake := time.Now()
		computer.Wake()
		heardState(t, conn, "live")
		p := heardPacket(t, conn)
		took := time.Since(awake)
		if took > 2*time.Second {
			t.Errorf("sound is back %v after waking", took)
		}
		if p.Seq-last.Seq > 1<<31 || p.At < last.At {
			t.Errorf("packet %d of %v after %d of %v", p.Seq, p.At, last.Seq, last.At)
		}
		t.Logf("sound is back %v after waking", took)
		last = p
	}

	// What the owner says while it sleeps holds from then on.
	computer.Sleep()
	heardState(t, conn, "offline")
	r.must("stop")
	computer.Wake()
	heardState(t, conn, "paused")

	// And without logind nobody is left asleep.
	r.must("start")
	heardState(t, conn, "live")
	computer.Sleep()
	heardState(t, conn, "offline")
	logind.Kill()
	heardState(t, conn, "live")
}

// The page says that the laptop is away, and plays again by itself.
func TestSleepInABrowser(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers")
	ear := audiotest.StartPulse(t, browserSink)
	sound.PlaySine("speakers", pitch)
	logind := traytest.StartBus(t)
	computer := logind.StartLogind()
	r := launch(t, logind.SystemEnv(soundEnv(t, sound)), "--headless", "--start")
	page := openChromium(t, ear.Env())
	page.open(r.link(""))
	page.play()
	waitTone(t, ear, "the speakers", pitch)
	computer.Sleep()
	page.waitState("offline")
	computer.Wake()
	page.waitState("live")
	waitTone(t, ear, "the speakers after the sleep", pitch)
}

// Without any sound output there is trouble to tell of, and it ends by itself.
func TestNoSoundOutput(t *testing.T) {
	sound := audiotest.StartPulse(t, "speakers")
	sound.UnloadSink("speakers")
	r := launch(t, soundEnv(t, sound), "--headless", "--start")
	r.waitStatus("it says that there is no output", func(st status) bool {
		return st.State == stateTrouble && st.Trouble == "there is no sound output"
	})
	sound.LoadSink("speakers")
	r.waitStatus("it is live", func(st status) bool { return st.State == stateLive && st.Output != "" })
	sound.UnloadSink("speakers")
	r.waitStatus("the output is gone again", func(st status) bool { return st.State == stateTrouble })
}

// A system bus that hangs holds nobody up.
func TestFrozenSystemBus(t *testing.T) {
	bus := traytest.StartBus(t)
	bus.Signal(syscall.SIGSTOP)
	defer bus.Signal(syscall.SIGCONT)
	r := launch(t, bus.SystemEnv(plainEnv(t.TempDir())), "--headless", "--source", "tone", "--start")
	r.waitStatus("live", func(st status) bool { return st.State == stateLive })
	begin := time.Now()
	examined(t, r.run("doctor", "--json", "--source", "tone"))
	if status := r.quit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("doctor and the end took %v", took)
	}
}
