package audiotest

import (
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"earshot/audio"
)

// clickSound returns d of the clicks in mono, as a tape holds them.
func clickSound(t *testing.T, d time.Duration) []int16 {
	t.Helper()
	data := make([]byte, audio.Samples(d)*bytesPerFrame)
	if _, err := io.ReadFull(&clicks{}, data); err != nil {
		t.Fatal(err)
	}
	noise := rand.New(rand.NewPCG(1, 2))
	mono := make([]int16, audio.Samples(d))
	for i := range mono {
		x := float64(math.Float32frombits(binary.LittleEndian.Uint32(data[bytesPerFrame*i:])))
		mono[i] = int16((x + 0.005*noise.NormFloat64()) * math.MaxInt16)
	}
	return mono
}

func TestTicks(t *testing.T) {
	const delay = 4321 // samples
	mono := slices.Concat(make([]int16, delay), clickSound(t, 10*time.Second))
	every := audio.Samples(clickEvery)
	clear(mono[delay+every*5+300:][:every+180]) // more than half of the fifth, half of the sixth
	want := int(10*time.Second/clickEvery) - 2
	got := ticks(mono)
	if len(got) != want {
		t.Fatalf("%d clicks, want %d", len(got), want)
	}
	for i, g := range got {
		if i >= 5 {
			i += 2
		}
		if middle := float64(delay + i*every + clickLength/2); g.tone != i%clickTones || math.Abs(g.middle-middle) > 5 {
			t.Errorf("click %d is tone %d at %.1f, want %d at %.1f", i, g.tone, g.middle, i%clickTones, middle)
		}
	}
}

func TestSteady(t *testing.T) {
	mono := slices.Concat(make([]int16, 5000), clickSound(t, 5*time.Second), make([]int16, 5000))
	near := func(got, want int) bool { return math.Abs(float64(got-want)) < 200 }
	from, to, gaps := steady(mono)
	if !near(from, 5000) || !near(to, 245_000) || len(gaps) != 0 {
		t.Errorf("from %d to %d with gaps %v", from, to, gaps)
	}
	clear(mono[50_000:][:480])
	clear(mono[100_000:][:4800])
	_, _, gaps = steady(mono)
	if len(gaps) != 2 {
		t.Fatalf("gaps %v, want 2", gaps)
	}
	for i, want := range []gap{{50_000, 50_480}, {100_000, 104_800}} {
		if !near(gaps[i].from, want.from) || !near(gaps[i].to, want.to) {
			t.Errorf("gap %v, want %v", gaps[i], want)
		}
	}
	if from, to, _ := steady(make([]int16, 48000)); from != to {
		t.Error("silence sounds")
	}
}

func TestDelays(t *testing.T) {
	begin := time.Now()
	click := func(tone int, ms int) Click { return Click{tone, begin.Add(time.Duration(ms) * time.Millisecond)} }
	played := []Click{click(0, 0), click(1, 250), click(2, 500), click(0, 4000), click(1, 4250)}
	heard := []Click{click(5, 50), click(0, 100), click(2, 2600), click(0, 4090), click(1, 4249), click(1, 9000)}
	var late []int64
	for _, d := range Delays(played, heard) {
		late = append(late, d.Late.Milliseconds())
	}
	if !slices.Equal(late, []int64{100, 2100, 90, -1}) {
		t.Errorf("delays %v", late)
	}
}

// Two tapes of one sink say the same of it.
func TestTapes(t *testing.T) {
	s := StartPulse(t, "speakers")
	s.PlayClicks("speakers")
	one, two := s.StartTape("speakers"), s.StartTape("speakers")
	Poll(t, "the tapes don't fill", func() bool { return min(one.Len(), two.Len()) > 3*time.Second })
	one.Stop()
	two.Stop()
	delays := Delays(one.Clicks(), two.Clicks())
	if len(delays) < 8 {
		t.Fatalf("%d clicks in common", len(delays))
	}
	for _, d := range delays {
		if d.Late.Abs() > 20*time.Millisecond {
			t.Errorf("one sink is %v later than itself", d.Late)
		}
	}
	if sound := two.Sound(); sound.To.Sub(sound.From) < 2*time.Second || len(sound.Gaps) > 0 {
		t.Errorf("heard %+v", sound)
	}
}
