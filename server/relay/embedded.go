package relay

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	natsserver "github.com/nats-io/nats-server/v2/server"
)

// embedded is a NATS server in this process, which has no port.
type embedded struct {
	server *natsserver.Server
	lock   *flock.Flock
	remove string // a folder to remove at the end; "" for none
}

const (
	startTimeout = 10 * time.Second
	// What the bucket may take: a withdrawal has some 300 bytes.
	maxStore = 256 << 20
)

// embed starts a server that keeps its files in dir, or where that is "" in a
// temporary folder.
func embed(dir string, log *slog.Logger) (_ *embedded, err error) {
	e := &embedded{}
	defer func() {
		if err != nil {
			e.stop()
		}
	}()
	if dir == "" {
		if dir, err = os.MkdirTemp("", "earshot-relay-"); err != nil {
			return nil, fmt.Errorf("start embedded nats: %w", err)
		}
		e.remove = dir
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start embedded nats: %w", err)
	}
	// Two servers at the same files would spoil them.
	e.lock = flock.New(filepath.Join(dir, "lock"))
	if ok, err := e.lock.TryLock(); err != nil {
		return nil, fmt.Errorf("lock folder %s: %w", dir, err)
	} else if !ok {
		return nil, fmt.Errorf("another earshot-relay uses the folder %s: end it, or give this one a folder of its own", dir)
	}
	server, err := natsserver.NewServer(&natsserver.Options{
		ServerName:         "earshot-relay",
		DontListen:         true,
		NoSigs:             true,
		JetStream:          true,
		StoreDir:           dir,
		JetStreamMaxMemory: 16 << 20,
		JetStreamMaxStore:  maxStore,
		// A withdrawal that was confirmed must outlive a power failure. Writes are
		// few: a lease and a heartbeat each 2 or 3 s.
		SyncAlways: true,
	})
	if err != nil {
		return nil, fmt.Errorf("start embedded nats: %w", err)
	}
	e.server = server
	server.SetLoggerV2(serverLog{log.With("part", "embedded nats")}, false, false, false)
	server.Start()
	if !server.ReadyForConnections(startTimeout) {
		return nil, errors.New("start embedded nats: it does not get ready; its log lines say why")
	}
	return e, nil
}

func (e *embedded) stop() {
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
	}
	if e.lock != nil {
		_ = e.lock.Close()
	}
	if e.remove != "" {
		_ = os.RemoveAll(e.remove)
	}
}

// serverLog takes the embedded server's log. What it thinks worth a notice is
// detail here.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l serverLog) Warnf(format string, v ...any)   { l.log.Warn(fmt.Sprintf(format, v...)) }
func (l serverLog) Errorf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l serverLog) Fatalf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l serverLog) Debugf(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l serverLog) Tracef(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
