// Earshot-relay is Earshot's server for a public machine: a laptop publishes to
// it, and visitors listen there.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

// Exit statuses.
const (
	exitFailure = 1
	exitUsage   = 2 // a wrong flag or config file
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// commands is the command line.
type commands struct {
	Config string `default:"/etc/earshot-relay/relay.toml" placeholder:"FILE" help:"The config file (${default})."`

	Run     runCommand     `cmd:"" default:"withargs" help:"Serve; the default."`
	Check   checkCommand   `cmd:"" help:"Say whether the config file is right, and whether what it names is there."`
	Token   tokenCommand   `cmd:"" help:"Print a token for a program that publishes to a stream with a shared secret."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// console is what commands print to.
type console struct {
	out, err io.Writer
	config   string // file
}

// usageError says that what was asked for can't be done as it was asked.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// run runs the program and returns its exit status.
func run(args []string, out, errs io.Writer) int {
	fail := func(status int, err error) int {
		fmt.Fprintf(errs, "earshot-relay: %v\n", err)
		return status
	}
	var c commands
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("earshot-relay"),
		kong.Description("Lets visitors of a site hear what a laptop is playing: the laptop publishes to it with Earshot."),
		kong.Writers(out, errs),
		kong.Exit(func(status int) { exited = status }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		return fail(exitFailure, err)
	}
	ctx, err := parser.Parse(args)
	switch {
	case exited >= 0: // after --help
		return exited
	case err != nil:
		return fail(exitUsage, err)
	}
	err = ctx.Run(&console{out, errs, c.Config})
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return fail(exitUsage, err)
	}
	return fail(exitFailure, err)
}

// version is Earshot's.
const version = "0.1.0"

type versionCommand struct{}

func (versionCommand) Run(c *console) error {
	commit := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	_, err := fmt.Fprintf(c.out, "earshot-relay %s\ncommit %s\n%s %s/%s\n", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
