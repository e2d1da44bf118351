package main

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mdp/qrterminal/v3"

	"earshot/server"
	"earshot/server/line"
	"earshot/server/token"
)

// The commands about links. They write the data folder's store themselves, so
// that they work whether Earshot runs or not; one that runs is told to read it
// again.

// openLinks opens what links are made with.
func openLinks(s *settings) (*access, error) {
	data, err := openData(s.Data)
	if err != nil {
		return nil, err
	}
	return openAccess(s, data)
}

// reload makes an Earshot that runs follow what has changed in the data folder.
// It returns the relays that have not heard yet of what is withdrawn.
func reload(data dataFolder) (late []string, err error) {
	var done reloaded
	err = call(data.control(), "POST", "reload", &done)
	if errors.Is(err, errNotRunning) {
		all, err := readRelays(data)
		for _, u := range all {
			done.Late = append(done.Late, u.Host)
		}
		return done.Late, err
	}
	if err != nil {
		return nil, fmt.Errorf("it is done, but the running earshot has not taken it over; restart it: %w", err)
	}
	return done.Late, nil
}

type linkCommand struct {
	Name      string   `placeholder:"NAME" help:"Who the link is for; the list of listeners shows it."`
	For       validity `default:"24h" placeholder:"TIME" help:"How long it is good: 30m, 24h, 7d … or forever, until you withdraw it (${default})."`
	Listeners uint16   `placeholder:"N" help:"How many may listen by it at once (any number)."`
	NotBefore moment   `placeholder:"TIME" help:"From when on it is good: 20:30, 2026-12-24 20:30, or 2026-12-24T20:30:00Z (now)."`
	Scope     string   `enum:"listen,issue" default:"listen" help:"listen, or issue: a token for a program that makes links (${default})."`
	QR        bool     `name:"qr" xor:"form" help:"Print it as a QR code, too."`
	Token     bool     `xor:"form" help:"Print the bare token, for programs."`
	JSON      bool     `xor:"form" help:"As JSON."`
	Direct    bool     `help:"To this computer, although there is a relay."`

	here bool // the command line says where the server is
}

// madeLink is what `earshot link --json` prints.
type madeLink struct {
	Share string `json:"link,omitempty"`
	Token string `json:"token"`
	Reach reach  `json:"reach,omitempty"` // from where the link works
	token.Link
}

func (l *linkCommand) Run(s *settings, c *console) error {
	if l.QR && l.Scope == token.ScopeIssue {
		return &usageError{errors.New("--qr is for links: a token with --scope issue is for programs")}
	}
	a, err := openLinks(s)
	if err != nil {
		return err
	}
	var relay *url.URL
	if !l.Direct && !l.here && l.Scope == token.ScopeListen {
		if relay, err = shareRelay(a.data); err != nil {
			return err
		}
	}
	grant := token.Grant{
		Scope:     l.Scope,
		Name:      l.Name,
		For:       time.Duration(l.For),
		NotBefore: l.NotBefore.Time,
		Listeners: int(l.Listeners),
	}
	if relay != nil {
		grant.Audience = relay.String()
	}
	raw, made, err := a.issue(grant)
	if err != nil {
		return err
	}
	answer := madeLink{Token: raw, Link: made}
	if l.Scope == token.ScopeListen {
		where := place{reach: anywhere}
		if relay != nil {
			where.base = relay.String()
		} else if where, err = l.where(s, c, a.data); err != nil {
			return err
		}
		answer.Share, answer.Reach = where.link(raw), where.reach
	}
	switch {
	case l.JSON:
		return printJSON(c.out, answer)
	case l.Token || answer.Share == "":
		_, err = fmt.Fprintln(c.out, raw)
		return err
	case l.QR:
		qrterminal.GenerateWithConfig(answer.Share, qrterminal.Config{
			Level:          qrterminal.L,
			Writer:         c.out,
			HalfBlocks:     true,
			BlackChar:      qrterminal.BLACK_BLACK,
			BlackWhiteChar: qrterminal.BLACK_WHITE,
			WhiteChar:      qrterminal.WHITE_WHITE,
			WhiteBlackChar: qrterminal.WHITE_BLACK,
			QuietZone:      1, // so that it fits into 80 columns
		})
	}
	_, err = fmt.Fprintln(c.out, answer.Share)
	return err
}

// where is where the link leads to, and warns of what is in its way.
func (l *linkCommand) where(s *settings, c *console, data dataFolder) (place, error) {
	where, err := s.place(string(s.Listen))
	if err != nil {
		return place{}, err
	}
	if !l.here {
		// A running app knows better where it is: its settings may differ.
		var running status
		err := call(data.control(), "GET", "status", &running)
		switch {
		case err == nil:
			where = place{running.URL, running.Reach}
		case errors.Is(err, errNotRunning):
			fmt.Fprintln(c.err, "earshot: the link works once Earshot runs")
		default:
			fmt.Fprintf(c.err, "earshot: %v; the link has the address of the settings\n", err)
		}
	}
	if where.reach == computer {
		fmt.Fprintln(c.err, "earshot: this link works on this computer only: it has no network, or --listen keeps to it")
	}
	return where, nil
}

type linksCommand struct {
	JSON bool `help:"As JSON."`
}

// listedLink is one of `earshot links --json`.
type listedLink struct {
	token.Link
	Now []server.Listener `json:"now"` // who listens by it
}

func (o *linksCommand) Run(s *settings, c *console) error {
	a, err := openLinks(s)
	if err != nil {
		return err
	}
	var now []server.Listener
	if err := call(a.data.control(), "GET", "listeners", &now); err != nil && !errors.Is(err, errNotRunning) {
		return err
	}
	list := []listedLink{}
	add := func(l token.Link) {
		of := func(n server.Listener) bool { return n.Link == l.ID }
		by := slices.DeleteFunc(slices.Clone(now), func(n server.Listener) bool { return !of(n) })
		now = slices.DeleteFunc(now, of)
		list = append(list, listedLink{l, append([]server.Listener{}, by...)})
	}
	for _, l := range a.store.Links() {
		add(l)
	}
	for len(now) > 0 { // by tokens that another program has made
		add(token.Link{ID: now[0].Link, Name: now[0].Name})
	}
	if o.JSON {
		return printJSON(c.out, list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(c.out, "No link is good. For one: earshot link")
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tMADE\tENDS\tLISTENING")
	for _, l := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", short(l.ID), line.Clean(l.Name, 40), l.made(), l.end(), l.use())
	}
	return w.Flush()
}

func (l *listedLink) made() string {
	if l.Made.IsZero() {
		return "by a program"
	}
	return clock(l.Made)
}

func (l *listedLink) end() string {
	switch {
	case l.Ends.IsZero():
		return ""
	case l.Withdrawn:
		return "withdrawn"
	case time.Until(l.Ends) > maxValidity/2:
		return "when withdrawn"
	}
	return clock(l.Ends)
}

func (l *listedLink) use() string {
	if l.Scope == token.ScopeIssue {
		return "makes links"
	}
	if l.Scope == token.ScopePublish {
		return "publishes"
	}
	names := make([]string, len(l.Now))
	for i, n := range l.Now {
		names[i] = line.Clean(n.Name, 40)
	}
	text := strconv.Itoa(len(names))
	if l.Listeners > 0 {
		text += fmt.Sprintf(" of %d", l.Listeners)
	}
	if len(names) > 0 {
		text += ": " + strings.Join(names, ", ")
	}
	return text
}

// short is enough of an ID to name a link by; what another program has made is
// in no list to look it up in.
func short(id string) string {
	if strings.Contains(id, ":") {
		return id
	}
	return id[:min(len(id), 8)]
}

func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }

type revokeCommand struct {
	IDs []string `arg:"" optional:"" name:"ID" help:"Links, as earshot links shows them, or themselves."`
	All bool     `help:"All links that were made until now."`
}

func (r *revokeCommand) Run(s *settings, c *console) error {
	if r.All == (len(r.IDs) > 0) {
		return &usageError{errors.New("revoke what? Name links as earshot links shows them, or use --all")}
	}
	a, err := openLinks(s)
	if err != nil {
		return err
	}
	done := "Withdrawn."
	if r.All {
		err = a.store.WithdrawAll()
		done = "All links made until now are withdrawn."
		if len(s.keys) > 0 {
			done += " So are the tokens of other programs, those without the claim iat for ever; but with their keys they can make new ones."
		}
	} else {
		var ids []string
		for _, text := range r.IDs {
			id, err := a.find(text)
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		err = a.store.Withdraw(ids...)
	}
	if err != nil {
		return err
	}
	late, err := reload(a.data)
	if err != nil {
		return err
	}
	if len(late) > 0 {
		done += " But " + lateNote(late) + "."
	}
	_, err = fmt.Fprintln(c.out, done)
	return err
}

// find returns the ID of the link that text names: its ID or the beginning of
// it, KEY:ID for a token of another program's key, which is in no list, or the
// link or token itself. The error never holds a token.
func (a *access) find(text string) (string, error) {
	if _, raw, found := strings.Cut(text, "#"); found {
		text = raw
	}
	if strings.Count(text, ".") == 2 {
		var c token.Claims
		var err error
		places := []string{a.tokens.Audience}
		if all, err := readRelays(a.data); err == nil {
			for _, u := range all {
				places = append(places, u.String())
			}
		}
		for _, where := range places {
			for _, scope := range []string{token.ScopeListen, token.ScopeIssue} {
				if c, err = a.tokens.For(where).Verify(text, scope); err == nil {
					return c.ID, nil
				}
			}
		}
		return "", fmt.Errorf("that is no link that is good here: %w", err)
	}
	if key, _, foreign := strings.Cut(text, ":"); foreign {
		if !slices.ContainsFunc(a.others, func(k token.VerifyKey) bool { return k.Name == key }) {
			return "", fmt.Errorf("no key %s is configured: before the colon stands the name of a [[key]] of the config file", shown(key))
		}
		return text, nil
	}
	var found []string
	for _, l := range a.store.Links() {
		if l.ID == text {
			return text, nil
		}
		if text != "" && strings.HasPrefix(l.ID, text) {
			found = append(found, l.ID)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", fmt.Errorf("%s begins the IDs of %d links: use more of it", shown(text), len(found))
	}
	return "", fmt.Errorf("no link that is good has the ID %s: earshot links lists them", shown(text))
}

// shown quotes what somebody wrote; not in full where it may be a secret.
func shown(text string) string {
	if len(text) > 40 {
		return strconv.Quote(text[:8]) + "…"
	}
	return strconv.Quote(text)
}

type kickCommand struct {
	ID       uint64 `arg:"" help:"The listener, as earshot listeners shows them."`
	Withdraw bool   `help:"Withdraw the link, too: otherwise they may come back."`
}

func (k *kickCommand) Run(s *settings, c *console) error {
	var gone removed
	what := "kick?" + url.Values{"id": {strconv.FormatUint(k.ID, 10)}, "withdraw": {strconv.FormatBool(k.Withdraw)}}.Encode()
	if err := call(dataFolder(s.Data).control(), "POST", what, &gone); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.out, gone.line())
	return err
}

// removed tells of a listener who was removed.
type removed struct {
	Name      string `json:"name"`
	Withdrawn bool   `json:"withdrawn"` // their link, too
	// Late are relays that have not heard of that yet.
	Late []string `json:"late,omitempty"`
}

func (r removed) line() string {
	if r.Withdrawn {
		text := line.Clean(r.Name, 40) + " is removed, and the link withdrawn."
		if len(r.Late) > 0 {
			text += " But " + lateNote(r.Late) + "."
		}
		return text
	}
	return line.Clean(r.Name, 40) + " is removed. The link is still good: to withdraw it, too, use --withdraw."
}

type keyCommand struct {
	Rotate rotateCommand `cmd:"" help:"Sign with a new key from now on."`
}

type rotateCommand struct {
	Keep validity `default:"7d" placeholder:"TIME" help:"How long links of the old key stay good, at most (${default})."`
}

func (r *rotateCommand) Run(s *settings, c *console) error {
	a, err := openLinks(s)
	if err != nil {
		return err
	}
	until := time.Now().Add(time.Duration(r.Keep))
	if _, err := a.store.Rotate(a.data.key(), until); err != nil {
		return err
	}
	if _, err := reload(a.data); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "New links are signed with a new key. Older ones are good until %s at most.\n", clock(until))
	return err
}

// moment is a time that somebody wrote down: RFC 3339, or local date and time,
// or the time of day that comes next.
type moment struct{ time.Time }

func (m *moment) UnmarshalText(text []byte) error {
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02 15:04:05"} {
		if t, err := time.ParseInLocation(layout, string(text), time.Local); err == nil {
			m.Time = t
			return nil
		}
	}
	t, err := time.ParseInLocation("15:04", string(text), time.Local)
	if err != nil {
		return fmt.Errorf("%q is no time: use 20:30, 2026-12-24 20:30, or 2026-12-24T20:30:00Z", text)
	}
	now := time.Now()
	m.Time = time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, time.Local)
	if m.Before(now) {
		m.Time = m.AddDate(0, 0, 1)
	}
	return nil
}
