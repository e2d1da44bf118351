package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"earshot/audio"
	"earshot/server"
	"earshot/server/atomicfile"
	"earshot/server/token"
	"earshot/server/uplink"
)

// relays are the streams of relays that this Earshot publishes to. Any goroutine
// may use them.
type relays struct {
	data   dataFolder
	config uplink.Config // but for URL and Token
	token  func(audience, nonce string) (string, error)
	clock  string
	number func() uint64 // a new ID for a listener

	running sync.WaitGroup

	mu    sync.Mutex // guards the rest
	run   context.Context
	all   []*relayed // in the order in which they were added
	last  uint64     // number of the newest
	about server.About
	// The IDs of those who listen at relays.
	numbers map[listenerPlace]uint64
	own     []string // addresses of this computer
}

// relayed is one of them.
type relayed struct {
	*uplink.Uplink
	number uint64
	stop   context.CancelFunc
}

// relayStatus is what `earshot status --json` says of one.
type relayStatus struct {
	URL string `json:"url"`
	uplink.Status
}

// newRelays returns relays that run from Run on.
func (a *app) newRelays(clock audio.Clock) *relays {
	r := &relays{data: a.data, clock: rand.Text(), number: a.hub.Number}
	r.about = server.About{
		Title:   a.settings.Title,
		Frame:   float64(time.Duration(a.settings.Frame)) / float64(time.Millisecond),
		Bitrate: int(a.settings.Bitrate),
		State:   server.Paused,
		Clock:   r.clock,
	}
	r.token = func(audience, nonce string) (string, error) {
		return a.access.sign(token.Grant{Scope: token.ScopePublish, Audience: audience, Nonce: nonce, For: uplink.TokenLife})
	}
	r.config = uplink.Config{
		About:     r.describe,
		Withdrawn: a.access.store.Withdrawals,
		Changed:   func() { a.engine.audience() }, // who listens there, too
		Clock:     clock,
		Log:       a.log,
	}
	return r
}

// Run publishes until ctx ends.
func (r *relays) Run(ctx context.Context) error {
	r.mu.Lock()
	r.run = ctx
	r.mu.Unlock()
	err := r.reload()
	if err != nil {
		r.config.Log.Error("no relays", "err", err)
	}
	r.watch(ctx)
	r.mu.Lock()
	r.run = nil // no more of them
	r.mu.Unlock()
	r.running.Wait()
	return nil
}

// reload follows what the data folder says.
func (r *relays) reload() error {
	wanted, err := readRelays(r.data)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.run == nil {
		return nil
	}
	var all []*relayed
	for _, u := range wanted {
		i := slices.IndexFunc(r.all, func(o *relayed) bool { return o.URL.String() == u.String() })
		if i >= 0 {
			all = append(all, r.all[i])
			r.all = slices.Delete(r.all, i, i+1)
			continue
		}
		config := r.config
		config.URL, config.Token = u, func(nonce string) (string, error) { return r.token(u.String(), nonce) }
		r.last++
		ctx, stop := context.WithCancel(r.run)
		one := &relayed{uplink.New(config), r.last, stop}
		r.running.Go(func() { one.Run(ctx) })
		all = append(all, one)
	}
	for _, o := range r.all {
		o.stop()
	}
	r.all = all
	return nil
}

func (r *relays) list() []*relayed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// publish sends a packet to all relays where anybody listens.
func (r *relays) publish(p audio.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.all {
		o.Publish(p)
	}
}

// wanted tells whether anybody listens at a relay.
func (r *relays) wanted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.all, func(o *relayed) bool { return o.Wanted() })
}

// tell tells relays what the stream does now.
func (r *relays) tell(s server.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.about.State == s {
		return
	}
	r.about.State = s
	for _, o := range r.all {
		o.Tell()
		if s == server.Live && o.Status().State == uplink.Refused {
			o.Hurry()
		}
	}
}

func (r *relays) describe() server.About {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.about
}

// withdraw tells all relays what is withdrawn now, and returns those that could
// not be reached within a while.
func (r *relays) withdraw() (late []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	all := r.list()
	reached := make([]bool, len(all))
	var wait sync.WaitGroup
	for i, o := range all {
		wait.Go(func() { reached[i] = o.Withdraw(ctx) })
	}
	wait.Wait()
	for i, o := range all {
		if !reached[i] {
			late = append(late, o.URL.Host)
		}
	}
	return late
}

// status is how each of them is.
func (r *relays) status() []relayStatus {
	all := []relayStatus{}
	for _, o := range r.list() {
		all = append(all, relayStatus{o.URL.String(), o.Status()})
	}
	return all
}

// shareRelay is the relay whose address share links have: the first one. nil is
// none.
func shareRelay(data dataFolder) (*url.URL, error) {
	all, err := readRelays(data)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[0], nil
}

// sharePlace is where share links from the tray lead to, and the audience of
// their tokens; "" is this Earshot.
func (a *app) sharePlace() (place, string, error) {
	relay, err := shareRelay(a.data)
	if err != nil {
		return place{}, "", err
	}
	if relay != nil {
		return place{relay.String(), anywhere}, relay.String(), nil
	}
	where, err := a.place()
	return where, "", err
}

// relaysFile is what the file of relays holds.
type relaysFile struct {
	Relays []string `json:"relays"`
}

func readRelays(data dataFolder) ([]*url.URL, error) {
	text, err := atomicfile.Read(data.relays())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read list of relays: %w", err)
	}
	var file relaysFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("list of relays %s is damaged: delete it, and add them again: %w", data.relays(), err)
	}
	var all []*url.URL
	for _, one := range file.Relays {
		u, err := uplink.ParseURL(one)
		if err != nil {
			return nil, fmt.Errorf("list of relays %s: %w", data.relays(), err)
		}
		all = append(all, u)
	}
	return all, nil
}

func writeRelays(data dataFolder, all []*url.URL) error {
	file := relaysFile{Relays: []string{}}
	for _, u := range all {
		file.Relays = append(file.Relays, u.String())
	}
	text, err := json.MarshalIndent(file, "", "\t")
	if err != nil {
		return err
	}
	if err := atomicfile.Replace(data.relays(), append(text, '\n'), 0o600, nil); err != nil {
		return fmt.Errorf("write list of relays: %w", err)
	}
	return nil
}

// line is a relay's state in a few words.
func (s relayStatus) line() string {
	where := s.URL
	if u, err := url.Parse(s.URL); err == nil {
		where = u.Host
	}
	switch {
	case s.State == uplink.Connected && s.Count > 0:
		return fmt.Sprintf("%s: %d listening", where, s.Count)
	case s.State == uplink.Connected:
		return where + ": connected"
	case s.Why == "":
		return where + ": " + string(s.State)
	}
	return where + ": " + strings.TrimSuffix(s.Why, ".")
}
