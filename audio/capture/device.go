package capture

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/gen2brain/malgo"

	"earshot/audio"
)

const (
	period = audio.SampleRate / 100 // samples per channel that a callback brings: 10 ms, or twice that
	kept   = 30 * period            // what the sound server keeps for us when we are late
)

// opening says what device to open and where its sound goes.
type opening struct {
	backend malgo.Backend
	kind    malgo.DeviceType
	id      string // the backend's name of the device; never empty: that would be the microphone
	server  string // sound server, in libpulse's form
	stream  string // name by which the sound server knows our recording
	feed    *feed
	log     *slog.Logger

	// there tells whether the device is still there, nil for yes: asked at the last
	// moment before a failure would cost something. May be nil.
	there func() error
}

// device is an open device of miniaudio's. One goroutine uses it, and the
// callback's thread the feed.
type device struct {
	context *malgo.AllocatedContext
	device  *malgo.Device
}

// open opens a device without starting it. It blocks for up to 30 s when the
// sound server hangs, and each failure of miniaudio's leaks some file descriptors
// and a connection to the sound server: make sure before that there is a server
// that answers.
func open(o opening) (*device, error) {
	var id malgo.DeviceID
	if o.id == "" || len(o.id) >= len(id) {
		return nil, fmt.Errorf("open capture device %q: not a device's name", o.id)
	}
	copy(id[:], o.id)
	// C keeps copies of these, but sees the originals inside of structs.
	var pinner runtime.Pinner
	defer pinner.Unpin()
	pinned := func(s string) *byte {
		b := append([]byte(s), 0)
		pinner.Pin(&b[0])
		return &b[0]
	}
	pinner.Pin(&id)

	var config malgo.ContextConfig
	config.Pulse.PApplicationName = pinned("Earshot")
	config.Pulse.PServerName = pinned(o.server)
	context, err := malgo.InitContext([]malgo.Backend{o.backend}, config, func(message string) {
		if !strings.HasPrefix(message, "Loading symbol") { // dozens of them
			o.log.Debug("miniaudio", "message", strings.TrimSpace(message))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("open sound system: %w", err)
	}

	if o.there != nil {
		if err := o.there(); err != nil {
			_ = context.Uninit()
			context.Free()
			return nil, err
		}
	}

	settings := malgo.DefaultDeviceConfig(o.kind)
	settings.SampleRate = audio.SampleRate
	block := o.feed.config.block()
	settings.PeriodSizeInFrames = uint32(block)
	settings.Periods = uint32(kept / block)
	settings.Capture.DeviceID = unsafe.Pointer(&id)
	settings.Capture.Format = malgo.FormatF32
	settings.Capture.Channels = audio.Channels
	settings.Pulse.StreamNameCapture = o.stream
	d, err := malgo.InitDevice(context.Context, settings, malgo.DeviceCallbacks{Data: o.feed.data})
	if err != nil {
		context.Uninit()
		context.Free()
		return nil, fmt.Errorf("open capture device: %w", err)
	}
	return &device{context: context, device: d}, nil
}

func (d *device) start() error {
	if err := d.device.Start(); err != nil {
		return fmt.Errorf("start capture device: %w", err)
	}
	return nil
}

// close ends the callbacks and frees everything. It blocks for up to 30 s when
// the sound server hangs.
func (d *device) close() {
	// Uninit hangs for ever on a stream that died unless Stop comes first; what
	// Stop says of a dead stream tells nothing.
	_ = d.device.Stop()
	d.device.Uninit()
	_ = d.context.Uninit()
	d.context.Free()
}

// feed carries the samples of one open device to the ring. Its data runs on the
// device's thread.
type feed struct {
	config Config
	ring   *audio.Ring
	seq    atomic.Uint64 // of the choice by which the device is open

	stamps stamps       // the device thread's
	last   atomic.Int64 // when the last samples came, by the clock; 0 before the first
}

// data is called by miniaudio on each period. It may not wait nor allocate, nor
// keep in, which is a buffer of miniaudio's.
func (f *feed) data(_, in []byte, _ uint32) {
	if len(in) < 4*audio.Channels {
		return
	}
	now := f.config.Clock()
	pcm := unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(in))), len(in)/4)
	captured := f.stamps.next(len(pcm)/audio.Channels, now)
	if f.config.current(f.seq.Load()) {
		f.ring.Write(pcm, captured)
	}
	f.last.Store(int64(now))
}

// heard returns when the last samples came; false when none have.
func (f *feed) heard() (time.Duration, bool) {
	last := f.last.Load()
	return time.Duration(last), last != 0
}
