package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"earshot/server/atomicfile"
)

// choices are settings that the user has made in the tray's menu. A nil one was
// never made. They hold where no flag, environment variable or config file says
// otherwise.
type choices struct {
	Start  *bool         `json:"start,omitempty"`
	Notify *[]noticeKind `json:"notify,omitempty"`
}

// choiceFile keeps choices in the data folder. Any goroutine may use it.
type choiceFile struct {
	path string

	mu      sync.Mutex
	choices choices
}

// openChoices reads the file at path, which need not exist. The error is of one
// that can't be read; what it says is then lost with the next choice.
func openChoices(path string) (*choiceFile, error) {
	f := &choiceFile{path: path}
	text, err := atomicfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &f.choices)
	}
	if err != nil {
		f.choices = choices{}
		return f, fmt.Errorf("read what was chosen in the menu, %s: %w: choose it again, which mends the file", path, err)
	}
	return f, nil
}

// get returns the choices, which nobody may change.
func (f *choiceFile) get() choices {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.choices
}

// set makes choices, and keeps them as they were where they can't be written.
func (f *choiceFile) set(change func(*choices)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	made := f.choices
	change(&made)
	text, err := json.Marshal(made)
	if err == nil {
		err = atomicfile.Replace(f.path, append(text, '\n'), 0o600, nil)
	}
	if err != nil {
		return fmt.Errorf("keep what was chosen: %w", err)
	}
	f.choices = made
	return nil
}

// use makes the choices of the menu those of the settings that nothing else
// gives.
func (s *settings) use(c choices) {
	if c.Start != nil && !s.given["start"] {
		s.Start = *c.Start
	}
	if c.Notify != nil && !s.given["notify"] {
		s.Notify = *c.Notify
	}
}
