package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"earshot/assets"
	"earshot/server"
	"earshot/server/line"
	"earshot/server/token"
	"earshot/server/uplink"
)

// access is who may hear: the key that links are signed with, the links, and
// what checks them.
type access struct {
	data   dataFolder
	store  *token.Store
	tokens *token.Verifier
	others []token.VerifyKey // keys of other programs

	mu  sync.Mutex // guards key
	key *token.Key
}

// openAccess reads what the data folder and the settings say of it.
func openAccess(s *settings, data dataFolder) (*access, error) {
	store, err := token.OpenStore(data.links(), time.Now)
	if err != nil {
		return nil, err
	}
	a := &access{
		data:   data,
		store:  store,
		tokens: &token.Verifier{Audience: token.AudienceDesktop, Revoked: store.Revoked, Now: time.Now},
	}
	for _, k := range s.keys {
		keys, err := k.Keys()
		if err != nil {
			return nil, &usageError{fmt.Errorf("%s: %w", configFile(), err)}
		}
		a.others = append(a.others, keys...)
	}
	return a, a.useKeys()
}

// useKeys makes the keys of the data folder and of the settings those that
// tokens are checked with.
func (a *access) useKeys() error {
	key, err := token.OpenKey(a.data.key())
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.key = key
	a.mu.Unlock()
	keys := append([]token.VerifyKey{key.Verify()}, a.store.Retired()...)
	a.tokens.Use(append(keys, a.others...)...)
	return nil
}

// issue makes a link; to this Earshot, unless the grant has another audience.
func (a *access) issue(g token.Grant) (string, token.Link, error) {
	if g.Audience == "" {
		g.Audience = token.AudienceDesktop
	}
	return a.store.Issue(a.signer(), g)
}

// sign makes a token that is in no list.
func (a *access) sign(g token.Grant) (string, error) {
	at := time.Now()
	// One of the second in which all were withdrawn would be of those.
	switch all, _ := a.store.Withdrawals(); {
	case all.After(at.Add(uplink.ClockSlack)): // by a clock that was ahead: a relay is told of now
		at = at.Add(uplink.ClockSlack / 2)
	case !all.Before(at.Truncate(time.Second)):
		at = all.Add(time.Second)
	}
	raw, _, err := a.signer().Issue(g, at)
	return raw, err
}

func (a *access) signer() *token.Key {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.key
}

// issueForProgram makes a link that leads where those from the tray do.
func (a *app) issueForProgram(g token.Grant) (page, raw string, l token.Link, err error) {
	where, audience, err := a.sharePlace()
	if err != nil {
		return "", "", token.Link{}, err
	}
	g.Audience = audience
	raw, l, err = a.access.issue(g)
	return where.base, raw, l, err
}

// newServer returns the server for listeners.
func (a *app) newServer() (*server.Server, error) {
	s := a.settings
	c := server.Config{
		Stream: server.Stream{
			Hub:          a.hub,
			Tokens:       a.access.tokens,
			Issue:        a.issueForProgram,
			MaxListeners: s.MaxListeners,
		},
		Player:    assets.Player(),
		Log:       a.log,
		PublicURL: s.PublicURL.URL,
	}
	for _, o := range s.Origins {
		c.Origins = append(c.Origins, string(o))
	}
	for _, o := range s.Embed {
		c.Embed = append(c.Embed, string(o))
	}
	for _, p := range s.TrustedProxies {
		c.TrustedProxies = append(c.TrustedProxies, netip.Prefix(p.Prefix))
	}
	if s.TLSCert != "" {
		var err error
		if c.Certificate, err = server.OpenCertificate(s.TLSCert, s.TLSKey, a.log); err != nil {
			return nil, &usageError{err}
		}
	}
	return server.New(c), nil
}

// reload implements controlled.
func (a *app) reload() (reloaded, error) {
	if err := a.access.store.Reload(); err != nil {
		return reloaded{}, err
	}
	if err := a.access.useKeys(); err != nil {
		return reloaded{}, err
	}
	a.endWithdrawn()
	if err := a.relays.reload(); err != nil {
		return reloaded{}, err
	}
	return reloaded{Late: a.relays.withdraw()}, nil
}

// endWithdrawn ends the connections whose links are good no more.
func (a *app) endWithdrawn() { a.hub.Review(a.access.tokens.Good) }

// withdrawAll withdraws all links made until now.
func (a *app) withdrawAll() error {
	if err := a.access.store.WithdrawAll(); err != nil {
		return err
	}
	a.endWithdrawn()
	if late := a.relays.withdraw(); len(late) > 0 {
		return fmt.Errorf("they are withdrawn here, but %s", lateNote(late))
	}
	return nil
}

// lateNote says which relays have not heard of what was withdrawn.
func lateNote(hosts []string) string {
	return strings.Join(hosts, " and ") + " can't be reached just now: links to it end as soon as it can"
}

// kick implements controlled: it removes a listener, and withdraws the link.
func (a *app) kick(id uint64, withdraw bool) (removed, error) {
	all := a.listeners()
	i := slices.IndexFunc(all, func(l server.Listener) bool { return l.ID == id })
	if i < 0 {
		return removed{}, fmt.Errorf("nobody with the number %d listens: earshot listeners shows them", id)
	}
	var err error
	if withdraw { // first, or they could come back in between
		err = a.access.store.Withdraw(all[i].Link)
	}
	if !a.relays.has(id) {
		a.hub.Kick(id) // who may have gone by themselves
	} else if kickErr := a.relays.kick(id); kickErr != nil {
		return removed{}, errors.Join(err, kickErr)
	}
	a.endWithdrawn()
	var late []string
	if withdraw {
		late = a.relays.withdraw()
	}
	if err != nil {
		return removed{}, fmt.Errorf("%s is removed, but may come back: %w", line.Clean(all[i].Name, 40), err)
	}
	return removed{Name: all[i].Name, Withdrawn: withdraw, Late: late}, nil
}
