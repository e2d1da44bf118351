package server

import (
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// connections is the word of [Server.Refused] for too many of them.
const connections = "connections"

// refusals counts what was refused, by reason, and logs it once a second at
// most.
type refusals struct {
	log *slog.Logger

	mu     sync.Mutex // guards the rest
	total  map[string]uint64
	fresh  map[string]uint64 // not logged yet
	logged time.Time         // when that was last done

	trips map[string]*trips // by the kind of line

	failed    int       // links that could not be made, not logged yet
	failedLog time.Time // when that was last done
}

func newRefusals(log *slog.Logger) *refusals {
	return &refusals{log: log, total: map[string]uint64{}, fresh: map[string]uint64{}, trips: map[string]*trips{}}
}

// A line of each who comes or goes, and of each link that a program makes, is
// logged while they are so few; of more only how many lines there would be: one
// listener alone could else fill the log in minutes.
const (
	tripRate  = 5 // lines a second
	tripBurst = 100
)

// trips are lines of one kind.
type trips struct {
	pace   *rate.Limiter
	untold uint64 // of those that were not logged
}

// trip logs what somebody did: came, went, or made a link. The first word is the
// kind, and each kind is limited by itself, so that listeners can't hide who
// publishes.
func (r *refusals) trip(what string, about ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kind, _, _ := strings.Cut(what, " ")
	t := r.trips[kind]
	if t == nil {
		t = &trips{pace: rate.NewLimiter(tripRate, tripBurst)}
		r.trips[kind] = t
	}
	if !t.pace.Allow() {
		t.untold++
		return
	}
	if t.untold > 0 {
		about = append(about, "lines left out", t.untold)
		t.untold = 0
	}
	r.log.Info(what, about...)
}

// count notes a refusal for reason, one word, of what came from an address.
// What it doesn't log is in the log's next line.
func (r *refusals) count(reason string, from netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total[reason]++
	r.fresh[reason]++
	now := time.Now()
	if now.Sub(r.logged) < time.Second {
		return
	}
	var counts []any
	for _, reason := range slices.Sorted(maps.Keys(r.fresh)) {
		counts = append(counts, slog.Uint64(reason, r.fresh[reason]))
	}
	r.log.Info("refused", slog.Group("reasons", counts...), "last", from)
	r.logged = now
	clear(r.fresh)
}

// notMade logs, once a second at most, that links could not be made, how many,
// and who asked for the last one.
func (r *refusals) notMade(by string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed++
	now := time.Now()
	if now.Sub(r.failedLog) < time.Second {
		return
	}
	r.log.Error("no link was made", "times", r.failed, "by", by, "err", err)
	r.failed, r.failedLog = 0, now
}

// Refused returns how many requests and connections were refused since the
// start, by reason: the words of refusals, with "slow" also for connections on
// which no request came in time; "connections" for those that came when there
// were too many; "too-big" and "too-many-messages" also for listeners who sent
// too much.
func (s *Server) Refused() map[string]uint64 {
	s.refusals.mu.Lock()
	defer s.refusals.mu.Unlock()
	return maps.Clone(s.refusals.total)
}

// refuse answers a request with a refusal and counts it.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, word, message string) {
	s.refusals.count(word, s.client(r))
	answer(w, status, refusal{word, message})
}

// refuseLater is refuse with a word on when to come back.
func (s *Server) refuseLater(w http.ResponseWriter, r *http.Request, status int, after time.Duration, word, message string) {
	w.Header().Set("Retry-After", strconv.FormatInt(seconds(after), 10))
	s.refuse(w, r, status, word, message)
}
