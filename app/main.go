// Earshot lets people hear what this computer is playing: a tray icon, a server
// for listeners' browsers, and the command line for both.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"earshot/server"
	"earshot/server/line"
	"earshot/server/token"
)

// Exit statuses.
const (
	exitFailure    = 1
	exitUsage      = 2 // a wrong flag, setting or config file
	exitNotRunning = 3
)

func main() {
	joinConsole()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// commands is the command line.
type commands struct {
	Settings settings `embed:"" group:"settings"`

	Run       runCommand       `cmd:"" default:"withargs" help:"Start the tray app; the default."`
	Link      linkCommand      `cmd:"" help:"Print a new share link."`
	Start     startCommand     `cmd:"" help:"Let listeners hear this computer."`
	Stop      stopCommand      `cmd:"" help:"Stop that; who listens stays connected and hears silence."`
	Quit      quitCommand      `cmd:"" help:"End the running app."`
	Status    statusCommand    `cmd:"" help:"Say what the running app does."`
	Outputs   outputsCommand   `cmd:"" help:"Say which outputs there are, and which programs play, for the settings output, program and never-share."`
	Listeners listenersCommand `cmd:"" help:"Say who listens."`
	Kick      kickCommand      `cmd:"" help:"Remove a listener."`
	Links     linksCommand     `cmd:"" help:"Say which links are good, and who listens by them."`
	Revoke    revokeCommand    `cmd:"" help:"Withdraw links: who listens by them is removed within a second."`
	Relay     relayCommand     `cmd:"" help:"Publish to relays, too, where anybody can reach you."`
	Token     tokenCommand     `cmd:"" help:"Print a token for a program that publishes to a relay."`
	Key       keyCommand       `cmd:"" help:"Change the key that links are signed with."`
	Doctor    doctorCommand    `cmd:"" help:"Look for what may be wrong, and say what to do about it; the answer can go into a bug report."`
	Version   versionCommand   `cmd:"" help:"Print the versions of Earshot and what is in it."`
	Man       manCommand       `cmd:"" hidden:"" help:"Print the manual page, in man(7)."`
}

// console is what commands print to.
type console struct {
	out, err io.Writer
}

// run runs the program and returns its exit status.
func run(args []string, out, errs io.Writer) int {
	fail := func(status int, err error) int {
		fmt.Fprintf(errs, "earshot: %v\n", err)
		return status
	}
	var c commands
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("earshot"),
		kong.Description("Lets people hear what this computer is playing.\n\nThe config file is "+configFile()+"."),
		kong.ExplicitGroups([]kong.Group{{
			Key:   settingsGroup,
			Title: "Settings, also keys of the config file, and EARSHOT_… in the environment:",
		}}),
		kong.Writers(out, errs),
		kong.Exit(func(status int) { exited = status }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		return fail(exitFailure, err)
	}
	var keys []token.KeyConfig
	resolver, settingErr := resolve(parser, &keys)
	if settingErr == nil {
		if err := kong.Resolvers(resolver).Apply(parser); err != nil {
			return fail(exitFailure, err)
		}
	}
	ctx, err := parser.Parse(args)
	switch {
	case exited >= 0: // after --help
		return exited
	case err != nil && settingErr != nil:
		return fail(exitUsage, settingErr)
	case err != nil:
		return fail(exitUsage, err)
	}
	c.Settings.given = map[string]bool{}
	for _, path := range ctx.Path {
		if path.Flag != nil && path.Flag.Group != nil && path.Flag.Group.Key == settingsGroup {
			c.Settings.given[path.Flag.Name] = true
		}
		if path.Flag != nil && !path.Resolved && (path.Flag.Name == "listen" || path.Flag.Name == "public-url") {
			c.Link.here = true
		}
		if path.Flag != nil && !path.Resolved && path.Flag.Name == "start" {
			c.Settings.asked = c.Settings.Start
		}
	}
	c.Settings.keys = keys
	err = c.Settings.complete()
	if settingErr != nil {
		err = &usageError{settingErr}
	}
	if name := ctx.Command(); err == nil || name == "run" || name == "doctor" {
		c.Settings.wrong = err
		err = ctx.Run(&c.Settings, &console{out, errs})
	}
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNotRunning):
		return fail(exitNotRunning, err)
	case errors.As(err, &usage):
		return fail(exitUsage, err)
	}
	return fail(exitFailure, err)
}

// usageError says that what was asked for can't be done as it was asked.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// logger returns the logger that the settings ask for.
func (s *settings) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: s.LogLevel.Level}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

type startCommand struct{}

func (startCommand) Run(s *settings, c *console) error { return switchTo(s, c, "start") }

type stopCommand struct{}

func (stopCommand) Run(s *settings, c *console) error { return switchTo(s, c, "stop") }

func switchTo(s *settings, c *console, what string) error {
	var st status
	if err := call(dataFolder(s.Data).control(), "POST", what, &st); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.out, st.line())
	return err
}

type statusCommand struct {
	JSON bool `help:"As JSON."`
}

func (o *statusCommand) Run(s *settings, c *console) error {
	var st status
	if err := call(dataFolder(s.Data).control(), "GET", "status", &st); err != nil {
		return err
	}
	if o.JSON {
		return printJSON(c.out, st)
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, st.line())
	if st.Output != "" {
		muted := ""
		if st.Muted {
			muted = " (muted here)"
		}
		fmt.Fprintf(w, "Sound\t%s%s\n", line.Clean(st.Output, 60), muted)
	}
	fmt.Fprintf(w, "Title\t%s\n", st.Title)
	fmt.Fprintf(w, "Links\t%s (work %s)\n", st.URL, st.Reach)
	for _, r := range st.Relays {
		fmt.Fprintf(w, "Relay\t%s\n", r.line())
	}
	return w.Flush()
}

// line is the status in a few words.
func (st *status) line() string {
	switch {
	case st.State == stateTrouble:
		return "Trouble: " + st.Trouble
	case st.State == stateStopped:
		return "Stopped"
	case st.Note != "":
		return "Live, but silent: " + st.Note
	case st.Listeners == 0:
		return "Live · nobody listening"
	}
	return fmt.Sprintf("Live · %d listening", st.Listeners)
}

type listenersCommand struct {
	JSON bool `help:"As JSON."`
}

func (o *listenersCommand) Run(s *settings, c *console) error {
	list := []server.Listener{}
	if err := call(dataFolder(s.Data).control(), "GET", "listeners", &list); err != nil {
		return err
	}
	if o.JSON {
		return printJSON(c.out, list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(c.out, "Nobody listens.")
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, l := range list {
		lane := string(l.Lane)
		if l.Why == server.Busy {
			lane += ", since this computer is busy"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\tsince %s\t%s\n", l.ID, l.Name, l.Address, l.Since.Local().Format("15:04:05"), lane)
	}
	return w.Flush()
}

type versionCommand struct{}

func (versionCommand) Run(c *console) error { return printVersion(c.out) }

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
