package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/jfreymuth/pulse/proto"
)

// answer is how long the sound server may take to answer.
const answer = time.Second

// What may be wrong with a sound server.
var (
	errNoServer  = errors.New("the sound server is not running")
	errNoAnswer  = errors.New("the sound server does not answer")
	errRefused   = errors.New("the sound server takes no more connections")
	errNoOutput  = errors.New("there is no sound output")
	errUndecided = errors.New("the default output is not known")
	errNoStream  = errors.New("the recording has ended")
)

// server is a connection to the sound server, beside the one that captures: it
// tells which output is the default one and what happens to it. It speaks
// PulseAudio's protocol, as pipewire-pulse does. One goroutine uses it.
type server struct {
	address address
	client  proto.Client
	conn    net.Conn
	release func() bool   // ends what closes conn with the context
	changed chan struct{} // capacity 1: outputs or recordings have changed
	closed  chan struct{} // closed when the connection has ended

	mu    sync.Mutex
	fresh []uint32 // recordings that began since they were last taken; guarded by mu
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
	s := &server{
		address: a,
		conn:    conn,
		release: context.AfterFunc(ctx, func() { conn.Close() }),
		changed: make(chan struct{}, 1),
		closed:  make(chan struct{}),
	}
	s.client.Callback = s.event
	s.client.SetTimeout(answer)
	s.client.Open(wire{conn})
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
	var auth proto.AuthReply
	err := s.request(&proto.Auth{Version: s.client.Version(), Cookie: cookie()}, &auth)
	if err != nil {
		return err
	}
	s.client.SetVersion(auth.Version)
	err = s.request(&proto.SetClientName{Props: proto.PropList{
		"application.name":       proto.PropListString("Earshot"),
		"application.process.id": proto.PropListString(fmt.Sprint(os.Getpid())),
	}}, &proto.SetClientNameReply{})
	if err != nil {
		return err
	}
	return s.request(&proto.Subscribe{
		Mask: proto.SubscriptionMaskServer | proto.SubscriptionMaskSink |
			proto.SubscriptionMaskSource | proto.SubscriptionMaskSourceInput,
	}, nil)
}

// request asks the server. The error is errNoAnswer, errNoServer or the
// server's refusal.
func (s *server) request(args proto.RequestArgs, reply proto.Reply) error {
	err := s.client.Request(args, reply)
	var refusal proto.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return errNoAnswer
	case errors.As(err, &refusal):
		return fmt.Errorf("the sound server refuses: %w", err)
	default: // the connection has ended
		return errNoServer
	}
}

// event is called by the connection's reader.
func (s *server) event(message any) {
	switch m := message.(type) {
	case *proto.ConnectionClosed:
		close(s.closed)
	case *proto.SubscribeEvent:
		if m.Event.GetFacility() == proto.EventSinkSourceOutput && m.Event.GetType() == proto.EventNew {
			s.mu.Lock()
			s.fresh = append(s.fresh, m.Index)
			s.mu.Unlock()
		}
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}

// takeFresh returns the recordings that began since it was last called.
func (s *server) takeFresh() []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := s.fresh
	s.fresh = nil
	return fresh
}

// output is an output (a "sink") of the sound server and its monitor: the
// source that brings what the output plays.
type output struct {
	index        uint32
	name         string
	title        string // for people
	monitor      string
	monitorIndex uint32
	suspended    bool
}

// same tells whether o is the very same output as p, not one by the same name.
func (o output) same(p output) bool {
	return o.index == p.index && o.name == p.name &&
		o.monitor == p.monitor && o.monitorIndex == p.monitorIndex
}

// output returns the default output. The error is errNoOutput when there is
// none, errUndecided when the server itself doesn't know yet, or one of
// request's.
func (s *server) output() (output, error) {
	var info proto.GetServerInfoReply
	if err := s.request(&proto.GetServerInfo{}, &info); err != nil {
		return output{}, err
	}
	switch info.DefaultSinkName {
	case "":
		return output{}, errNoOutput
	case "@DEFAULT_SINK@":
		return output{}, errUndecided
	}
	var sink proto.GetSinkInfoReply
	err := s.request(&proto.GetSinkInfo{SinkIndex: proto.Undefined, SinkName: info.DefaultSinkName}, &sink)
	if err != nil {
		return output{}, noEntity(err, errNoOutput)
	}
	var monitor proto.GetSourceInfoReply
	err = s.request(&proto.GetSourceInfo{SourceIndex: proto.Undefined, SourceName: sink.MonitorSourceName}, &monitor)
	if err != nil {
		return output{}, noEntity(err, errNoOutput)
	}
	// The source is opened by its name: be sure that it is this output's.
	if sink.MonitorSourceName == "" || monitor.SourceName != sink.MonitorSourceName || monitor.MonitorSourceIndex != sink.SinkIndex {
		return output{}, fmt.Errorf("the output %s has no monitor", sink.Device)
	}
	const suspended = 2
	return output{
		index:        sink.SinkIndex,
		name:         sink.SinkName,
		title:        sink.Device,
		monitor:      monitor.SourceName,
		monitorIndex: monitor.SourceIndex,
		suspended:    monitor.State == suspended,
	}, nil
}

// recording returns which source a recording records from. The error is
// errNoStream when there is no recording of this index and name, or one of
// request's.
func (s *server) recording(index uint32, name string) (source uint32, err error) {
	var info proto.GetSourceOutputInfoReply
	err = s.request(&proto.GetSourceOutputInfo{SourceOutpuIndex: index}, &info)
	if err != nil {
		return 0, noEntity(err, errNoStream)
	}
	if info.MediaName != name {
		return 0, errNoStream
	}
	return info.SourceIndex, nil
}

// find returns the index of the recording of that name, which began after the
// last takeFresh.
func (s *server) find(name string) (index uint32, err error) {
	deadline := time.NewTimer(answer)
	defer deadline.Stop()
	var candidates []uint32
	for {
		candidates = append(candidates, s.takeFresh()...)
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
	s.conn.Close()
	<-s.closed
}

// noEntity returns none when err says that something does not exist, else err.
func noEntity(err, none error) error {
	if errors.Is(err, proto.ErrNoSuchEntity) {
		return none
	}
	return err
}

// cookie returns the secret that the sound server shares with this user's
// programs. Where there is none the server knows us by our user ID.
func cookie() []byte {
	none := make([]byte, 256)
	path := os.Getenv("PULSE_COOKIE")
	if path == "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return none
		}
		path = filepath.Join(dir, "pulse", "cookie")
	}
	if c, err := os.ReadFile(path); err == nil && len(c) == len(none) {
		return c
	}
	return none
}

// wire is the connection as the client reads and writes it.
type wire struct{ net.Conn }

// Read turns every error into io.EOF, the only one after which the client tells
// that the connection has ended.
func (w wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil {
		err = io.EOF
	}
	return n, err
}

// Write closes the connection on an error, which the client would overlook.
func (w wire) Write(p []byte) (int, error) {
	w.SetWriteDeadline(time.Now().Add(answer))
	n, err := w.Conn.Write(p)
	if err != nil {
		w.Close()
	}
	return n, err
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
