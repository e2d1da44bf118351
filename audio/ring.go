package audio

import (
	"sync/atomic"
	"time"
)

const (
	blockFrames = 480 // samples per channel that one block of a Ring holds
	ringBlocks  = 64  // a power of two; 640 ms of sound
)

// block is some samples that were captured together.
type block struct {
	n   int           // samples per channel
	at  time.Duration // when the first of them was captured
	pcm [blockFrames * Channels]float32
}

// Ring carries samples from a device's callback to a [Pipeline]: one writer,
// one reader, no allocation, and no lock that the writer could wait for.
//
// A reader that stays away for more than 640 ms loses what does not fit;
// the reader then also drops what it missed so that the sound stays close to
// live. Dropped counts both.
type Ring struct {
	wake    chan struct{} // capacity 1: something was written
	written atomic.Uint64 // blocks; only the writer stores
	read    atomic.Uint64 // blocks; only the reader stores
	dropped atomic.Uint64 // samples per channel
	full    atomic.Bool   // set by the writer when it had to drop

	offset int // reader: samples per channel taken from the oldest block

	blocks [ringBlocks]block // between read and written the reader's, else the writer's
}

// NewRing returns an empty Ring.
func NewRing() *Ring {
	return &Ring{wake: make(chan struct{}, 1)}
}

// Write copies pcm, interleaved stereo, into the ring. Captured is when the
// last of these samples was captured. It never blocks, so that a device's
// callback may call it; the writer's goroutine or thread only.
func (r *Ring) Write(pcm []float32, captured time.Duration) {
	at := captured - Duration(len(pcm)/Channels)
	for len(pcm) >= Channels {
		written := r.written.Load()
		if written-r.read.Load() == ringBlocks {
			r.dropped.Add(uint64(len(pcm) / Channels))
			r.full.Store(true)
			break
		}
		b := &r.blocks[written%ringBlocks]
		b.n = copy(b.pcm[:], pcm) / Channels
		b.at = at
		r.written.Store(written + 1)
		pcm = pcm[b.n*Channels:]
		at += Duration(b.n)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Wake receives a value after something was written; one value may stand for
// several writes.
func (r *Ring) Wake() <-chan struct{} { return r.wake }

// Dropped returns how many samples per channel were lost because the reader
// was away. Any goroutine may call it.
func (r *Ring) Dropped() uint64 { return r.dropped.Load() }

// Read fills pcm, interleaved stereo, with the oldest samples and returns when
// the first of them was captured; or it returns false and takes nothing when
// there are not that many. The reader's goroutine only.
func (r *Ring) Read(pcm []float32) (at time.Duration, ok bool) {
	if r.full.CompareAndSwap(true, false) {
		r.discard()
	}
	read, written := r.read.Load(), r.written.Load()
	have := -r.offset
	for i := read; i != written; i++ {
		have += r.blocks[i%ringBlocks].n
	}
	if have*Channels < len(pcm) || len(pcm) == 0 {
		return 0, false
	}
	at = r.blocks[read%ringBlocks].at + Duration(r.offset)
	for len(pcm) > 0 {
		b := &r.blocks[read%ringBlocks]
		n := copy(pcm, b.pcm[r.offset*Channels:b.n*Channels]) / Channels
		pcm = pcm[n*Channels:]
		if r.offset += n; r.offset == b.n {
			r.offset = 0
			read++
			r.read.Store(read)
		}
	}
	return at, true
}

// discard drops all but the newest block.
func (r *Ring) discard() {
	read, written := r.read.Load(), r.written.Load()
	lost := -r.offset
	for ; read+1 < written; read++ {
		lost += r.blocks[read%ringBlocks].n
	}
	if lost > 0 {
		r.dropped.Add(uint64(lost))
		r.offset = 0
	}
	r.read.Store(read)
}
