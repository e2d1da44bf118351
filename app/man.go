package main

import (
	"bufio"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// manCommand prints the manual page, earshot(1), in man(7). Packages are made
// with what it prints: since that comes from the command line itself, it has
// every command and flag, as they are.
type manCommand struct{}

func (manCommand) Run(k *kong.Context, c *console) error {
	w := bufio.NewWriter(c.out)
	p := manual{w}
	p.line(`.TH EARSHOT 1 "%s" "Earshot %s" "User Commands"`, commitDay(), version)
	p.line(".nh") // names of settings would be hyphenated
	p.section("NAME")
	p.text(`earshot - let people hear what this computer is playing`)
	p.section("SYNOPSIS")
	p.line(`\fBearshot\fR [\fISETTING\fR...] [\fICOMMAND\fR] [\fIOPTION\fR...]`)
	p.section("DESCRIPTION")
	p.text("Earshot sits in the system tray: a click on its icon lets people hear what the speakers play, " +
		"and Copy share link in its menu makes a link for them, which any browser opens. " +
		"Without a command it starts the tray app; where there is no desktop, it runs without a tray. " +
		"The other commands talk to the app that runs; earshot COMMAND --help tells of each.")
	p.section("COMMANDS")
	for _, command := range k.Model.Leaves(true) {
		p.item(`\fB%s\fR%s`, escape(strings.TrimPrefix(command.Path(), k.Model.Name+" ")), positionals(command))
		p.text(command.Help)
		if len(command.Flags) > 0 {
			p.line(".RS")
			p.flags(command.Flags)
			p.line(".RE")
		}
	}
	p.section("SETTINGS")
	p.text("Each is a flag before or after any command, a key of the config file (max-listeners = 5), " +
		"or a variable in the environment (EARSHOT_MAX_LISTENERS=5). " +
		"A flag comes before the environment, that before the file, which is read when Earshot starts.")
	p.flags(slices.DeleteFunc(slices.Clone(k.Model.Flags), func(f *kong.Flag) bool { return f.Group == nil }))
	p.section("EXIT STATUS")
	for _, status := range []struct{ value, meaning string }{
		{"0", "All is done."},
		{"1", "It failed; standard error says why."},
		{"2", "A flag, setting or the config file is wrong."},
		{"3", "No Earshot runs that the command could talk to."},
	} {
		p.item("%s", status.value)
		p.text(status.meaning)
	}
	p.section("FILES")
	for _, file := range []struct{ path, meaning string }{
		{"~/.config/earshot/config.toml", "The config file, in TOML."},
		{"~/.local/share/earshot/", "What Earshot keeps: its key and the list of its links. Who can read it can make links."},
		{"~/.config/autostart/earshot.desktop", "Is there while Start on login is on."},
	} {
		p.item(`\fI%s\fR`, escape(file.path))
		p.text(file.meaning)
	}
	p.section("EXAMPLES")
	for _, example := range []struct{ command, meaning string }{
		{"earshot link --name Ann --for 7d", "Print a link for Ann that is good for a week."},
		{"earshot --headless --start --source tone", "Stream a test tone, with no tray."},
		{"earshot revoke --all", "Withdraw every link that was made until now."},
	} {
		p.item(`\fB%s\fR`, escape(example.command))
		p.text(example.meaning)
	}
	return w.Flush()
}

// commitDay is the day of the commit that this program was built from; empty where
// it was built without git.
func commitDay() string {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return ""
	}
	for _, s := range info.Settings {
		if at, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
			return at.UTC().Format(time.DateOnly)
		}
	}
	return ""
}

// positionals is what a command takes besides flags.
func positionals(command *kong.Node) string {
	var s strings.Builder
	for _, arg := range command.Positional {
		s.WriteString(" " + escape(arg.Summary()))
	}
	return s.String()
}

// manual writes a page of man(7). It leaves errors to its writer.
type manual struct{ w io.Writer }

func (p manual) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

func (p manual) section(title string) { p.line(".SH %s", title) }

// item begins an item of a list, under a head that is man(7) already.
func (p manual) item(head string, args ...any) {
	p.line(".TP")
	p.line(head, args...)
}

// text writes plain text.
func (p manual) text(s string) { p.line("%s", escape(s)) }

func (p manual) flags(flags []*kong.Flag) {
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		head := `\fB` + escape("--"+f.Name) + `\fR`
		if f.Short != 0 {
			head = `\fB` + escape("-"+string(f.Short)) + `\fR, ` + head
		}
		if !f.IsBool() && !f.IsCounter() {
			head += `=\fI` + escape(f.FormatPlaceHolder()) + `\fR`
		}
		p.item("%s", head)
		p.text(f.Help)
	}
}

// escape writes plain text as man(7) takes it: no backslash is an escape, no
// dash a hyphen to break a line at, and no line a macro.
func escape(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
