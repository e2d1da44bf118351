package main

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/adrg/xdg"

	"earshot/server/atomicfile"
)

// autostart is "Start on login": an entry in the folder of programs that a
// desktop starts (Desktop Application Autostart Specification 0.5).
type autostart struct {
	path string   // of the entry
	argv []string // what a login starts
}

// newAutostart makes an autostart of this program with a data folder; each
// folder's is an entry of its own. It changes nothing yet.
func newAutostart(data string) (*autostart, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	name, argv := "earshot.desktop", []string{program}
	if data != defaultData() {
		sum := sha256.Sum256([]byte(data))
		name = fmt.Sprintf("earshot-%x.desktop", sum[:4])
		argv = append(argv, "--data", data)
	}
	return &autostart{path: filepath.Join(xdg.ConfigHome, "autostart", name), argv: argv}, nil
}

// enabled tells whether the next login starts Earshot. An entry for a program
// that is no longer there doesn't.
func (a *autostart) enabled() (bool, error) {
	file, err := os.Open(a.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read autostart entry: %w", err)
	}
	defer file.Close()
	entry := map[string]string{}
	group := ""
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			group = line
		}
		if key, value, ok := strings.Cut(line, "="); ok && group == "[Desktop Entry]" {
			entry[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return false, fmt.Errorf("read autostart entry: %w", err)
	}
	// Session settings switch an entry off by one of these, and leave it there.
	if entry["Hidden"] == "true" || entry["X-GNOME-Autostart-enabled"] == "false" || entry["Exec"] == "" {
		return false, nil
	}
	if try := entry["TryExec"]; try != "" {
		_, err := exec.LookPath(strings.ReplaceAll(try, `\\`, `\`))
		return err == nil, nil
	}
	return true, nil
}

// set makes logins start Earshot, or no longer. Turning it on again writes down
// where the program is now.
func (a *autostart) set(on bool) error {
	if !on {
		if err := os.Remove(a.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove autostart entry: %w", err)
		}
		return nil
	}
	text := a.entry()
	if !utf8.ValidString(text) {
		return fmt.Errorf("write autostart entry: the path of %q is not UTF-8, as such an entry must be", a.argv[0])
	}
	err := os.MkdirAll(filepath.Dir(a.path), 0o700)
	if err == nil {
		err = atomicfile.Replace(a.path, []byte(text), 0o644, nil)
	}
	if err != nil {
		return fmt.Errorf("write autostart entry: %w", err)
	}
	return nil
}

func (a *autostart) entry() string {
	argv := a.argv
	if strings.ContainsAny(argv[0], "%=") {
		// GLib looks for the program before it undoubles "%", and a program's
		// path may have no "=".
		argv = append([]string{"/bin/sh", "-c", `exec "$0" "$@"`}, argv...)
	}
	return "[Desktop Entry]\n" +
		"Type=Application\n" +
		"Name=Earshot\n" +
		"Comment=Let people hear what this computer is playing\n" +
		"Icon=earshot\n" +
		"Exec=" + execValue(argv) + "\n" +
		"TryExec=" + stringValue(a.argv[0]) + "\n" +
		"Terminal=false\n" +
		"X-GNOME-Autostart-enabled=true\n"
}

// execValue writes argv as the key Exec has it (Desktop Entry Specification
// 1.5, "The Exec key"): an argument in quotes with backslashes before what is
// special there, each "%" doubled, and then all of it as a value.
func execValue(argv []string) string {
	special := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", `$`, `\$`)
	var quoted []string
	for _, arg := range argv {
		if arg == "" || strings.ContainsAny(arg, " \t\n\r\"'\\><~|&;$*?#()`=%") {
			arg = `"` + special.Replace(arg) + `"`
		}
		quoted = append(quoted, strings.ReplaceAll(arg, "%", "%%"))
	}
	return stringValue(strings.Join(quoted, " "))
}

// stringValue writes s as a value of type string (the same, "Possible value
// types").
func stringValue(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(s)
}
