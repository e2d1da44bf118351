package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

const (
	// runKey names what a login starts, below HKEY_CURRENT_USER; each value is
	// a command line.
	runKey = `Software\Microsoft\Windows\CurrentVersion\Run`
	// approvedKey has, by the same names, what the user says to that in Settings
	// or the Task Manager: an odd first byte switches off.
	approvedKey = `Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run`
)

// autostart is "Start on login": a value of the user's Run key.
type autostart struct {
	name string   // of the value
	argv []string // what a login starts
}

// newAutostart makes an autostart of this program with a data folder; each
// folder's is a value of its own. It changes nothing yet.
func newAutostart(data string) (*autostart, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	a := &autostart{name: "Earshot", argv: []string{program}}
	if !strings.EqualFold(data, defaultData()) {
		sum := sha256.Sum256([]byte(strings.ToLower(data)))
		a.name = fmt.Sprintf("Earshot %x", sum[:4])
		a.argv = append(a.argv, "--data", data)
	}
	return a, nil
}

// enabled tells whether the next login starts Earshot. A value for a program
// that is no longer there doesn't, nor one that the user has switched off in
// Settings.
func (a *autostart) enabled() (bool, error) {
	command, err := a.command()
	if errors.Is(err, registry.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read autostart entry: %w", err)
	}
	argv, err := windows.DecomposeCommandLine(command)
	if err != nil || len(argv) == 0 {
		return false, nil
	}
	if _, err := os.Stat(argv[0]); err != nil {
		return false, nil
	}
	off, err := a.switchedOff()
	if err != nil {
		return false, fmt.Errorf("read autostart entry: %w", err)
	}
	return !off, nil
}

// command reads the value.
func (a *autostart) command() (string, error) {
	key, err := registry.OpenKey(registry.CURRENT_USER, runKey, registry.QUERY_VALUE)
	if err != nil {
		return "", err
	}
	defer key.Close()
	command, _, err := key.GetStringValue(a.name)
	return command, err
}

// switchedOff tells whether the user has switched the value off in Settings.
func (a *autostart) switchedOff() (bool, error) {
	key, err := registry.OpenKey(registry.CURRENT_USER, approvedKey, registry.QUERY_VALUE)
	if errors.Is(err, registry.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer key.Close()
	said, _, err := key.GetBinaryValue(a.name)
	if errors.Is(err, registry.ErrNotExist) {
		return false, nil
	}
	return err == nil && len(said) > 0 && said[0]&1 == 1, err
}

// set makes logins start Earshot, or no longer. Turning it on again writes down
// where the program is now. What Settings said of it before is forgotten either
// way: the user has just said otherwise.
func (a *autostart) set(on bool) error {
	key, _, err := registry.CreateKey(registry.CURRENT_USER, runKey, registry.SET_VALUE)
	if err != nil {
		return fmt.Errorf("write autostart entry: %w", err)
	}
	defer key.Close()
	if !on {
		if err := key.DeleteValue(a.name); err != nil && !errors.Is(err, registry.ErrNotExist) {
			return fmt.Errorf("remove autostart entry: %w", err)
		}
	} else if err := key.SetStringValue(a.name, windows.ComposeCommandLine(a.argv)); err != nil {
		return fmt.Errorf("write autostart entry: %w", err)
	}
	approved, err := registry.OpenKey(registry.CURRENT_USER, approvedKey, registry.SET_VALUE)
	if errors.Is(err, registry.ErrNotExist) {
		return nil
	}
	if err == nil {
		defer approved.Close()
		if err = approved.DeleteValue(a.name); errors.Is(err, registry.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("write autostart entry: %w", err)
	}
	return nil
}
