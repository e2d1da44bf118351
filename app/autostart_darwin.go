package main

import (
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/adrg/xdg"

	"earshot/server/atomicfile"
)

// autostart is "Start on login": a LaunchAgent of the user's (launchd.plist(5)).
type autostart struct {
	path  string // of the property list
	label string
	argv  []string // what a login starts
}

// newAutostart makes an autostart of this program with a data folder; each
// folder's is an agent of its own. It changes nothing yet.
func newAutostart(data string) (*autostart, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	a := &autostart{label: "earshot", argv: []string{program}}
	if data != defaultData() {
		sum := sha256.Sum256([]byte(data))
		a.label = fmt.Sprintf("earshot-%x", sum[:4])
		a.argv = append(a.argv, "--data", data)
	}
	a.path = filepath.Join(xdg.Home, "Library", "LaunchAgents", a.label+".plist")
	return a, nil
}

// enabled tells whether the next login starts this program.
func (a *autostart) enabled() (bool, error) {
	text, err := os.ReadFile(a.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read autostart entry: %w", err)
	}
	return string(text) == a.plist(), nil
}

// set makes logins start Earshot, or no longer.
func (a *autostart) set(on bool) error {
	if !on {
		if err := os.Remove(a.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove autostart entry: %w", err)
		}
		return nil
	}
	err := os.MkdirAll(filepath.Dir(a.path), 0o700)
	if err == nil {
		err = atomicfile.Replace(a.path, []byte(a.plist()), 0o644, nil)
	}
	if err != nil {
		return fmt.Errorf("write autostart entry: %w", err)
	}
	return nil
}

func (a *autostart) plist() string {
	var arguments strings.Builder
	for _, arg := range a.argv {
		arguments.WriteString("\t\t<string>")
		_ = xml.EscapeText(&arguments, []byte(arg))
		arguments.WriteString("</string>\n")
	}
	return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>` + a.label + `</string>
	<key>ProgramArguments</key>
	<array>
` + arguments.String() + `	</array>
	<key>RunAtLoad</key>
	<true/>
	<key>ProcessType</key>
	<string>Interactive</string>
</dict>
</plist>
`
}
