package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"earshot/server/token"
	"earshot/server/uplink"
)

// relayCommand is about the relays that this Earshot publishes to.
type relayCommand struct {
	Add    relayAddCommand    `cmd:"" help:"Publish to a stream of a relay, too. Share links then lead there."`
	List   relayListCommand   `cmd:"" help:"Say which relays there are, and how they are."`
	Remove relayRemoveCommand `cmd:"" help:"Publish there no more."`
	Key    relayKeyCommand    `cmd:"" help:"Print the line that tells a relay who may publish."`
}

type relayAddCommand struct {
	URL string `arg:"" help:"wss://HOST/NAME, such as wss://radio.example.org/mystream."`
}

func (r *relayAddCommand) Run(s *settings, c *console) error {
	u, err := uplink.ParseURL(r.URL)
	if err != nil {
		return &usageError{err}
	}
	a, err := openLinks(s)
	if err != nil {
		return err
	}
	all, err := readRelays(a.data)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(o *url.URL) bool { return o.String() == u.String() }) {
		if err := writeRelays(a.data, append(all, u)); err != nil {
			return err
		}
	}
	if _, err := reload(a.data); err != nil {
		return err
	}
	now, err := awaitRelay(a.data, u.String())
	switch {
	case errors.Is(err, errNotRunning):
		fmt.Fprintf(c.out, "%s is added: Earshot publishes to it when it runs.\n", u)
	case err != nil:
		return err
	default:
		fmt.Fprintf(c.out, "Added. %s\n", now.line())
	}
	if now.State != uplink.Connected {
		fmt.Fprintf(c.out, "The relay must know this line, in keys of its stream:\n%s\n", a.publicLine())
	}
	return nil
}

// awaitRelay returns how a relay is of the Earshot that runs, once that has
// tried to connect.
func awaitRelay(data dataFolder, u string) (relayStatus, error) {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		var st status
		if err := call(data.control(), "GET", "status", &st); err != nil {
			return relayStatus{}, err
		}
		for _, one := range st.Relays {
			if one.URL == u && (one.State != uplink.Connecting || one.Why != "" || time.Now().After(end)) {
				return one, nil
			}
		}
		if time.Now().After(end) {
			return relayStatus{}, fmt.Errorf("the running earshot has not taken %s over: restart it", u)
		}
	}
}

type relayListCommand struct {
	JSON bool `help:"As JSON."`
}

func (r *relayListCommand) Run(s *settings, c *console) error {
	data, err := openData(s.Data)
	if err != nil {
		return err
	}
	list := []relayStatus{}
	var st status
	switch err := call(data.control(), "GET", "status", &st); {
	case errors.Is(err, errNotRunning):
		all, err := readRelays(data)
		if err != nil {
			return err
		}
		for _, u := range all {
			list = append(list, relayStatus{u.String(), uplink.Status{State: "not running"}})
		}
	case err != nil:
		return err
	default:
		list = append(list, st.Relays...)
	}
	if r.JSON {
		return printJSON(c.out, list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(c.out, "There is no relay. To add one: earshot relay add wss://HOST/NAME")
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, one := range list {
		fmt.Fprintf(w, "%s\t%s\t%d listening\t%s\n", one.URL, one.State, one.Count, one.Why)
	}
	return w.Flush()
}

type relayRemoveCommand struct {
	URL string `arg:"" help:"The relay, as earshot relay list shows it."`
}

func (r *relayRemoveCommand) Run(s *settings, c *console) error {
	data, err := openData(s.Data)
	if err != nil {
		return err
	}
	all, err := readRelays(data)
	if err != nil {
		return err
	}
	text := strings.TrimSuffix(r.URL, "/")
	if u, err := uplink.ParseURL(r.URL); err == nil {
		text = u.String()
	}
	left := slices.DeleteFunc(slices.Clone(all), func(o *url.URL) bool { return o.String() == text })
	if len(left) == len(all) {
		return &usageError{fmt.Errorf("there is no relay %s: earshot relay list shows those that are there", shown(r.URL))}
	}
	if err := writeRelays(data, left); err != nil {
		return err
	}
	if _, err := reload(data); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "Removed. Links to it work no more, unless somebody else publishes there.\n")
	return err
}

type relayKeyCommand struct{}

func (relayKeyCommand) Run(s *settings, c *console) error {
	a, err := openLinks(s)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.out, a.publicLine())
	return err
}

// publicLine tells a relay of this Earshot's key.
func (a *access) publicLine() string {
	host, _ := os.Hostname() // a comment only
	return a.signer().PublicLine(host)
}

// tokenCommand makes tokens for other programs.
type tokenCommand struct {
	Publish string   `required:"" placeholder:"URL" help:"For publishing to this stream of a relay, by another program: wss://HOST/NAME."`
	For     validity `default:"24h" placeholder:"TIME" help:"How long it is good: 30m, 24h, 15d … (${default})."`
	Name    string   `default:"program" placeholder:"NAME" help:"Who publishes with it (${default}): who has another name can't take the stream over."`
}

func (t *tokenCommand) Run(s *settings, c *console) error {
	u, err := uplink.ParseURL(t.Publish)
	if err != nil {
		return &usageError{err}
	}
	if t.Name == "" {
		return &usageError{errors.New("--name: give one, or the program would take the stream over from this Earshot")}
	}
	a, err := openLinks(s)
	if err != nil {
		return err
	}
	raw, _, err := a.issue(token.Grant{Audience: u.String(), Scope: token.ScopePublish, Name: t.Name, For: time.Duration(t.For)})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.out, raw)
	return err
}
