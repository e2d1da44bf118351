package audio

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Pipeline turns what a [Source] captures into packets.
type Pipeline struct {
	Source  Source
	Encoder Encoder
	Frame   time.Duration // of one Opus packet

	// Wanted tells whether anybody would hear the packets; while it returns
	// false, samples are captured and dropped and nothing is encoded. It is
	// called once a frame.
	Wanted func() bool

	// Publish takes each packet and must not block.
	Publish func(Packet)

	Log *slog.Logger

	seq uint32 // of the next packet; goes on from one Run to the next
}

// Run captures, encodes and publishes until ctx ends, and then returns nil with
// the source stopped; or it returns the source's or the encoder's error. Only
// one Run at a time.
func (p *Pipeline) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ring := NewRing()
	done := make(chan error, 1)
	go func() { done <- p.Source.Run(ctx, ring) }()

	err := p.encode(ctx, ring, done)
	cancel()
	if sourceErr := <-done; err == nil {
		err = sourceErr
	}
	return err
}

// encode works until ctx ends or the source, whose result it leaves in done.
func (p *Pipeline) encode(ctx context.Context, ring *Ring, done chan error) error {
	pcm := make([]float32, Samples(p.Frame)*Channels)
	data := make([]byte, MaxPacketSize)
	delay := p.Encoder.Delay()
	var last time.Duration // stamp; they never run backwards
	var dropped uint64
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-done:
			done <- err
			return nil
		case <-ring.Wake():
		}
		for {
			at, ok := ring.Read(pcm)
			if !ok {
				break
			}
			last = max(last, at-delay)
			if n := ring.Dropped(); n != dropped {
				p.Log.Warn("this computer is too busy: captured sound was lost", "lost", Duration(int(n-dropped)))
				dropped = n
			}
			if !p.Wanted() {
				continue
			}
			n, err := p.Encoder.Encode(pcm, data)
			if err != nil {
				return fmt.Errorf("encode: %w", err)
			}
			p.Publish(Packet{Seq: p.seq, At: last, Data: append([]byte(nil), data[:n]...)})
			p.seq++
		}
	}
}
