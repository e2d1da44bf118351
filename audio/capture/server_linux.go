package capture

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// What may be wrong with a sound server.
var (
	errNoServer  = errors.New("the sound server is not running")
	errNoAnswer  = errors.New("the sound server does not answer")
	errRefused   = errors.New("the sound server takes no more connections")
	errNoOutput  = errors.New("there is no sound output")
	errUndecided = errors.New("the default output is not known")
	errNoStream  = errors.New("the recording has ended")
)

// server is what the sound server tells, over a connection beside the one that
// miniaudio captures by: which outputs there are and what happens to them. Single
// streams are recorded over this one. One goroutine uses it.
type server struct {
	*connection
	address address
	mixer   *mixer // where recorded streams go

	pipewire bool // it is PipeWire's

	release func() bool   // ends what closes the connection with the context
	changed chan struct{} // capacity 1: outputs or recordings have changed

	fresh recordings
}

// recordings are indexes of recordings that began.
type recordings struct {
	mu   sync.Mutex
	list []uint32
}

func (r *recordings) add(index uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, index)
}

// take returns those that were added since the last take.
func (r *recordings) take() []uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
}

// dial connects to the sound server. The error wraps errNoServer where none
// listens and errNoAnswer where one hangs. The connection ends with ctx.
func dial(ctx context.Context) (*server, error) {
	err := errNoServer
	for _, a := range addresses() {
		s, failed := dialAddress(ctx, a)
		if failed == nil {
			return s, nil
		}
		// What an address that exists says is worth more.
		if !errors.Is(failed, errNoServer) {
			err = failed
		}
	}
	return nil, err
}

func dialAddress(ctx context.Context, a address) (*server, error) {
	dialer := net.Dialer{Timeout: answer}
	conn, err := dialer.DialContext(ctx, a.network, a.addr)
	var timeout net.Error
	switch {
	case err == nil:
	case errors.Is(err, syscall.EAGAIN), errors.As(err, &timeout) && timeout.Timeout():
		return nil, errNoAnswer // a full backlog: nobody accepts
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), a.network != "unix":
		return nil, fmt.Errorf("%w: %w", errNoServer, err)
	default:
		return nil, fmt.Errorf("connect to the sound server: %w", err)
	}
	s := &server{address: a, mixer: newMixer(), changed: make(chan struct{}, 1)}
	s.connection = newConnection(conn, s.event, s.mixer.take)
	s.release = context.AfterFunc(ctx, func() { conn.Close() })
	if err := s.greet(); err != nil {
		s.close()
		if errors.Is(err, errNoServer) { // there is one, since it has closed the connection
			err = errRefused
		}
		return nil, err
	}
	return s, nil
}

// greet logs in and asks to be told of changes.
func (s *server) greet() error {
	if _, err := s.request(commandAuth, message(nil).number(protocolVersion).bytes(cookie())); err != nil {
		return err
	}
	_, err := s.request(commandSetClientName, message(nil).properties(
		"application.name", "Earshot", "application.process.id", strconv.Itoa(os.Getpid())))
	if err != nil {
		return err
	}
	info, err := s.request(commandServerInfo, nil)
	if err != nil {
		return err
	}
	s.pipewire = strings.Contains(info.text(0), "PipeWire")
	_, err = s.request(commandSubscribe, message(nil).number(maskServer|maskSinks|maskSources|maskStreams|maskRecordings))
	return err
}

// event is called by the connection's reader.
func (s *server) event(kind, index uint32) {
	if kind == newRecording {
		s.fresh.add(index)
	}
	if kind&kindOf == streamEvent && kind&typeOf != removed {
		s.mixer.moved(index)
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// recording returns which source a recording records from. The error is
// errNoStream when there is no recording of this index and name, or one of
// request's.
func (s *server) recording(index uint32, name string) (source uint32, err error) {
	info, err := s.request(commandRecordingInfo, message(nil).number(index))
	if err != nil {
		return 0, missing(err, errNoStream)
	}
	if info.text(1) != name {
		return 0, errNoStream
	}
	return info.number(4), nil
}

// find returns the index of the recording of that name, which began after the
// last fresh.take.
func (s *server) find(name string) (index uint32, err error) {
	deadline := time.NewTimer(answer)
	defer deadline.Stop()
	var candidates []uint32
	for {
		candidates = append(candidates, s.fresh.take()...)
		for _, index := range candidates {
			_, err := s.recording(index, name)
			if err == nil || !errors.Is(err, errNoStream) {
				return index, err
			}
		}
		select {
		case <-s.changed:
		case <-s.closed:
			return 0, errNoServer
		case <-deadline.C:
			return 0, errNoStream
		}
	}
}

// close ends the connection and waits for its reader.
func (s *server) close() {
	s.release()
	s.connection.close()
}

// available tells whether there is a sound server, be it one that hangs.
func available(ctx context.Context) bool {
	s, err := dial(ctx)
	if err != nil {
		return !errors.Is(err, errNoServer)
	}
	s.close()
	return true
}

// cookie returns the secret that the sound server shares with this user's
// programs. Where there is none the server knows us by our user ID.
func cookie() []byte {
	zeros := make([]byte, 256)
	path := os.Getenv("PULSE_COOKIE")
	if path == "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return zeros
		}
		path = filepath.Join(dir, "pulse", "cookie")
	}
	if c, err := os.ReadFile(path); err == nil && len(c) == len(zeros) {
		return c
	}
	return zeros
}
