package audio

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ramp returns n frames whose left samples count from first and whose right
// ones are their negatives.
func ramp(first, n int) []float32 {
	pcm := make([]float32, 0, n*Channels)
	for i := first; i < first+n; i++ {
		pcm = append(pcm, float32(i), float32(-i))
	}
	return pcm
}

func TestRing(t *testing.T) {
	r := NewRing()
	pcm := make([]float32, 960*Channels)
	if _, ok := r.Read(pcm); ok {
		t.Fatal("read from an empty ring")
	}
	at := time.Second
	var wrote, read int
	// Callbacks of all sizes, also larger than a block, and many times the
	// ring's length in all.
	for i := 0; read < 20*ringBlocks*blockFrames; i++ {
		n := 1 + i*37%1500
		at += Duration(n)
		r.Write(ramp(wrote, n), at)
		wrote += n
		for {
			got, ok := r.Read(pcm)
			if !ok {
				break
			}
			if want := time.Second + Duration(read); (got - want).Abs() > time.Millisecond {
				t.Fatalf("frame at %d was captured %v, want %v", read, got, want)
			}
			for j := range 960 {
				if pcm[2*j] != float32(read+j) || pcm[2*j+1] != float32(-read-j) {
					t.Fatalf("sample %d is %v, %v", read+j, pcm[2*j], pcm[2*j+1])
				}
			}
			read += 960
		}
	}
	if r.Dropped() != 0 {
		t.Errorf("dropped %d", r.Dropped())
	}
}

// A reader that was away goes on close to live, and all that it missed is
// counted.
func TestRingOverflow(t *testing.T) {
	r := NewRing()
	const n = 2 * ringBlocks * blockFrames
	for i := 0; i < n; i += blockFrames {
		r.Write(ramp(i, blockFrames), Duration(i+blockFrames))
	}
	pcm := make([]float32, blockFrames*Channels)
	at, ok := r.Read(pcm)
	if !ok {
		t.Fatal("nothing to read")
	}
	if want := Duration(ringBlocks*blockFrames - blockFrames); at != want {
		t.Errorf("goes on at %v, want %v", at, want)
	}
	if got := r.Dropped(); got != n-blockFrames {
		t.Errorf("dropped %d, want %d", got, n-blockFrames)
	}
	if _, ok := r.Read(pcm); ok {
		t.Error("something is left")
	}
}

func TestRingConcurrently(t *testing.T) {
	r := NewRing()
	const n = 200 * blockFrames
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; i < n; i += blockFrames {
			for r.written.Load()-r.read.Load() == ringBlocks {
				time.Sleep(time.Microsecond)
			}
			r.Write(ramp(i, blockFrames), Duration(i+blockFrames))
		}
	})
	pcm := make([]float32, 960*Channels)
	for read := 0; read < n; {
		<-r.Wake()
		for {
			at, ok := r.Read(pcm)
			if !ok {
				break
			}
			if pcm[0] != float32(read) || at != Duration(read) {
				t.Errorf("sample %v of %v, want %d", pcm[0], at, read)
			}
			read += 960
		}
	}
	wg.Wait()
}

func TestRingDoesNotAllocate(t *testing.T) {
	r := NewRing()
	in, out := ramp(0, blockFrames), make([]float32, blockFrames*Channels)
	if n := testing.AllocsPerRun(1000, func() {
		r.Write(in, 0)
		r.Read(out)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// source plays a script.
type source func(ctx context.Context, r *Ring) error

func (s source) Run(ctx context.Context, r *Ring) error { return s(ctx, r) }

// first is an encoder whose packets hold the frame's first sample.
type first struct{ fail error }

func (first) Delay() time.Duration { return time.Millisecond }

func (f first) Encode(pcm []float32, data []byte) (int, error) {
	return copy(data, []byte{byte(int(pcm[0]) / 960)}), f.fail
}

func TestPipeline(t *testing.T) {
	const frame = 20 * time.Millisecond
	packets := make(chan Packet)
	var wanted int
	p := &Pipeline{
		Source: source(func(ctx context.Context, r *Ring) error {
			for i := range 10 {
				r.Write(ramp(i*960, 960), time.Second+time.Duration(i+1)*frame)
			}
			<-ctx.Done()
			return nil
		}),
		Encoder: first{},
		Frame:   frame,
		Wanted:  func() bool { wanted++; return wanted > 2 }, // the first two are for nobody
		Publish: func(p Packet) { packets <- p },
		Log:     slog.New(slog.DiscardHandler),
	}
	for run := range uint32(2) {
		wanted = 0
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		for i := range uint32(8) {
			got := <-packets
			if got.Seq != run*8+i || got.At != 999*time.Millisecond+time.Duration(i+2)*frame || got.Data[0] != byte(i+2) {
				t.Errorf("run %d, packet %d: %+v", run, i, got)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestPipelineErrors(t *testing.T) {
	broken := errors.New("broken")
	p := &Pipeline{
		Source:  source(func(context.Context, *Ring) error { return broken }),
		Encoder: first{},
		Frame:   20 * time.Millisecond,
		Wanted:  func() bool { return true },
		Publish: func(Packet) {},
		Log:     slog.New(slog.DiscardHandler),
	}
	if err := p.Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("source fails: %v", err)
	}
	p.Encoder = first{broken}
	p.Source = source(func(ctx context.Context, r *Ring) error {
		r.Write(ramp(0, 960), 0)
		<-ctx.Done()
		return nil
	})
	if err := p.Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("encoder fails: %v", err)
	}
}
