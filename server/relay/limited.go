package relay

import (
	"log/slog"
	"sync"
	"time"
)

// limited logs the same trouble once in a while.
type limited struct {
	log  *slog.Logger
	mu   sync.Mutex
	last map[string]time.Time
}

const logEvery = 10 * time.Second

func newLimited(log *slog.Logger) *limited {
	return &limited{log: log, last: map[string]time.Time{}}
}

func (l *limited) warn(what string, err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// Not by the error, too: many name a port that is another each time.
	if now := time.Now(); now.Sub(l.last[what]) >= logEvery {
		l.last[what] = now
		l.log.Warn(what, "error", err)
	}
}
