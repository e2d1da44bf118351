package capture

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"earshot/audio"
)

// system is the sound system of a computer without a sound server that could be
// listened to. One goroutine uses it, which keeps its thread.
type system interface {
	// outputs returns what can be captured just now, in a stable order. An
	// error is for people.
	outputs() ([]Output, error)
	// open captures the output of that name: a thread of the system's calls
	// take with a period's samples at a time, interleaved stereo, which it must
	// not keep.
	open(name string, take func(pcm []float32)) (intake, error)
	close()
}

// intake is an open capture.
type intake interface {
	// running tells whether samples come when something plays.
	running() bool
	// close returns when take is called no more.
	close()
}

const (
	// lookSoon is how often a follower looks at the system while somebody
	// listens: a change of headphones takes half of it to be noticed.
	lookSoon = 400 * time.Millisecond
	// lookLate is how often while nobody does.
	lookLate = 3 * time.Second
	// brief is how long a stream that ends soon again has run.
	brief = time.Second
)

// follower captures from a system: the default output or the one chosen,
// wherever that is, and for as long as it is there.
type follower struct {
	reporter
	ring   *audio.Ring
	system system
	reopen backoff
	failed Output // what reopen is about
	fault  string // and why, for people

	// While a stream is open:
	stream  intake // else nil
	output  Output
	since   time.Time
	filler  *filler
	stop    context.CancelFunc // of the filler
	filling sync.WaitGroup
}

func newFollower(c Config, ring *audio.Ring, s system) *follower {
	return &follower{
		reporter: reporter{Config: c},
		ring:     ring,
		system:   s,
		reopen:   backoff{first: lookSoon, most: 10 * time.Second},
	}
}

// run captures until ctx ends.
func (f *follower) run(ctx context.Context) {
	runtime.LockOSThread() // Windows knows by its thread who may use the system
	defer runtime.UnlockOSThread()
	defer f.system.close()
	defer f.closeStream()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.changes():
		case <-timer.C:
		}
		timer.Reset(f.step())
	}
}

// step makes the stream what it should be, and returns when to look again.
func (f *follower) step() time.Duration {
	choice, listened, seq := f.want()
	outputs, err := f.system.outputs()
	if err != nil {
		f.closeStream()
		f.trouble(err.Error())
		return lookSoon
	}
	output, status := pick(outputs, choice)
	if f.stream != nil && !f.stream.running() {
		if time.Since(f.since) < brief {
			f.fail(f.output, "no sound comes from "+f.output.Title)
		} else {
			f.reopen.reset()
		}
		f.closeStream()
	}
	if f.stream != nil && (output.Name != f.output.Name || !listened) {
		f.closeStream()
	}
	if output.Name != f.failed.Name {
		f.reopen.reset()
	}
	switch {
	case output.Name == "": // status says why
	case f.stream != nil:
		f.filler.seq.Store(seq)
	case f.reopen.left() > 0:
		status.Trouble = f.fault
	case listened:
		if err := f.open(output, seq); err != nil {
			f.fail(output, fmt.Sprintf("cannot capture from %s: %v", output.Title, err))
			status.Trouble = f.fault
		}
	}
	f.set(status)
	if !listened {
		return lookLate
	}
	return lookSoon
}

// fail puts off the next attempt to open o.
func (f *follower) fail(o Output, fault string) {
	f.failed, f.fault = o, fault
	f.reopen.failed()
}

// pick returns the output that the choice means, or why there is none.
// The Output is the zero one then.
func pick(outputs []Output, choice Choice) (Output, Status) {
	i := slices.IndexFunc(outputs, func(o Output) bool {
		return o.Name == choice.Output || choice.Output == "" && o.Default
	})
	switch {
	case i < 0 && choice.Output != "":
		return Output{}, Status{Output: choice.called(), Trouble: "waiting for " + choice.called() + ", which is unplugged"}
	case i < 0:
		return Output{}, Status{Trouble: "there is no sound output"}
	case choice.never(outputs[i].Name, outputs[i].Title):
		return Output{}, Status{Output: outputs[i].Title, Held: outputs[i].Title + " is never shared"}
	}
	return outputs[i], Status{Output: outputs[i].Title}
}

// open opens o.
func (f *follower) open(o Output, seq uint64) error {
	filler := newFiller(f.Config, f.ring)
	filler.seq.Store(seq)
	s, err := f.system.open(o.Name, filler.take)
	if err != nil {
		return err
	}
	var ctx context.Context
	ctx, f.stop = context.WithCancel(context.Background())
	f.filling.Go(func() { filler.run(ctx) })
	f.stream, f.output, f.since, f.filler = s, o, time.Now(), filler
	return nil
}

// closeStream closes the stream if one is open.
func (f *follower) closeStream() {
	if f.stream == nil {
		return
	}
	f.stream.close()
	f.stop()
	f.filling.Wait()
	f.stream, f.filler = nil, nil
}
