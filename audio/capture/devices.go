//go:build windows || darwin

package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"github.com/gen2brain/malgo"

	"earshot/audio"
)

// What Choice can have here.
const (
	CanChoose  = true // Output and Never
	CanProgram = false
	CanMute    = false
)

// Loopback captures what the speakers play: the default output or a chosen one,
// wherever that is.
type Loopback struct {
	config Config
}

// NewLoopback returns a Loopback.
func NewLoopback(c Config) *Loopback { return &Loopback{c} }

// Run captures into ring until ctx ends, and never returns an error.
func (l *Loopback) Run(ctx context.Context, ring *audio.Ring) error {
	newFollower(l.config, ring, newDevices(l.config.Log)).run(ctx)
	return nil
}

// available tells whether a Loopback may ever capture something. These systems
// always have a sound system.
func available(context.Context) bool { return true }

// devices is the system that miniaudio opens devices of.
type devices struct {
	backend malgo.Backend
	listed  malgo.DeviceType    // which devices are the outputs
	opened  malgo.DeviceType    // as what one of them is opened
	is      func(o Output) bool // narrows down which are, and the first is the default; nil: all
	none    string              // for people, where is finds none
	log     *slog.Logger
	context *malgo.AllocatedContext // nil until it is used, and after an error
}

// outputs implements system.
func (d *devices) outputs() ([]Output, error) {
	if d.context == nil {
		var err error
		d.context, err = malgo.InitContext([]malgo.Backend{d.backend}, malgo.ContextConfig{}, func(message string) {
			if !strings.HasPrefix(message, "Loading ") { // dozens of them
				d.log.Debug("miniaudio", "message", strings.TrimSpace(message))
			}
		})
		if err != nil {
			return nil, fmt.Errorf("the sound system does not answer: %w", err)
		}
	}
	infos, err := d.context.Devices(d.listed)
	if err != nil {
		d.close()
		return nil, fmt.Errorf("the sound system does not answer: %w", err)
	}
	var all []Output
	for i := range infos {
		o := Output{Name: deviceName(infos[i].ID), Title: infos[i].Name(), Default: infos[i].IsDefault != 0}
		if d.is == nil || d.is(o) {
			all = append(all, o)
		}
	}
	if d.is == nil {
		return all, nil
	}
	if len(all) == 0 {
		return nil, errors.New(d.none)
	}
	for i := range all { // the system's default may be none of them
		all[i].Default = i == 0
	}
	return all, nil
}

// open implements system; outputs has been called before.
func (d *devices) open(name string, take func(pcm []float32)) (intake, error) {
	id, err := deviceID(name)
	if err != nil {
		return nil, err
	}
	var pinner runtime.Pinner // C sees id inside of a struct
	defer pinner.Unpin()
	pinner.Pin(&id)
	config := malgo.DefaultDeviceConfig(d.opened)
	config.SampleRate = audio.SampleRate
	config.PeriodSizeInFrames = period
	config.Periods = 30 // what the system keeps for us when we are late
	config.Capture.DeviceID = unsafe.Pointer(&id)
	config.Capture.Format = malgo.FormatF32
	config.Capture.Channels = audio.Channels
	device, err := malgo.InitDevice(d.context.Context, config, malgo.DeviceCallbacks{Data: func(_, in []byte, _ uint32) {
		if len(in) > 0 {
			take(unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(in))), len(in)/4))
		}
	}})
	if err != nil {
		return nil, err
	}
	if err := device.Start(); err != nil {
		device.Uninit()
		return nil, err
	}
	return &openDevice{device}, nil
}

// close implements system.
func (d *devices) close() {
	if d.context != nil {
		_ = d.context.Uninit()
		d.context.Free()
		d.context = nil
	}
}

// openDevice is a device that captures.
type openDevice struct{ device *malgo.Device }

// running implements intake. A device that is unplugged or given another format
// stops by itself.
func (d *openDevice) running() bool { return d.device.IsStarted() }

func (d *openDevice) close() {
	_ = d.device.Stop()
	d.device.Uninit()
}

// ServerName returns the name of the sound system; "" where it does not answer.
func ServerName(ctx context.Context) string {
	if _, err := List(ctx); err != nil {
		return ""
	}
	return systemName
}

// List returns what can be captured just now. An error is for people.
func List(context.Context) (Sounds, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	d := newDevices(slog.New(slog.DiscardHandler))
	defer d.close()
	all, err := d.outputs()
	return Sounds{Outputs: all}, err
}

// watchEvery is how often Watch looks.
const watchEvery = 5 * time.Second

// Watch tells what can be captured, at once and after each change, until ctx
// ends.
func Watch(ctx context.Context, c WatchConfig) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	d := newDevices(c.Log)
	defer d.close()
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for first, last := true, (Sounds{}); ; first = false {
		all, _ := d.outputs() // none, where there is trouble: a Loopback says which
		if now := (Sounds{Outputs: all}); first || !reflect.DeepEqual(now, last) {
			last = now
			c.Tell(now)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
