package capture

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
)

// Mutes keeps account of the outputs that were muted here, in a file, so that
// each is unmuted in the end, even after a crash. Any goroutine may use it; there
// is one of a file at a time.
type Mutes struct {
	path string

	mu    sync.Mutex
	names []string        // of outputs that we have muted, as the file has them
	held  map[string]bool // of those, which are muted on purpose now
}

// OpenMutes reads the file at path, which need not exist; its folder must. What
// is in it, nobody wants muted any more.
func OpenMutes(path string) (*Mutes, error) {
	m := &Mutes{path: path, held: map[string]bool{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &m.names)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s, which says what to unmute: %w: remove it, and look whether your speakers are muted", path, err)
	}
	return m, nil
}

// hold writes down that the output is about to be muted.
func (m *Mutes) hold(output string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.names, output) {
		if err := m.write(append(slices.Clone(m.names), output)); err != nil {
			return fmt.Errorf("write down what is muted: %w", err)
		}
	}
	m.held[output] = true
	return nil
}

// release says that nobody wants the output muted any more.
func (m *Mutes) release(output string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.held, output)
}

// done forgets an output that was unmuted.
func (m *Mutes) done(output string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.forget(output)
}

// undo calls unmute for an output that is still to be unmuted, and forgets it
// then. Nobody can hold it in between.
func (m *Mutes) undo(output string, unmute func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held[output] {
		return nil
	}
	if err := unmute(); err != nil {
		return err
	}
	return m.forget(output)
}

// forget strikes an output from the file. m.mu is held.
func (m *Mutes) forget(output string) error {
	delete(m.held, output)
	return m.write(slices.DeleteFunc(slices.Clone(m.names), func(name string) bool { return name == output }))
}

// left returns the outputs that are still to be unmuted.
func (m *Mutes) left() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.names), func(name string) bool { return m.held[name] })
}

// has tells whether it was us who muted the output.
func (m *Mutes) has(output string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.names, output)
}

// write replaces the file in one step, and names. m.mu is held.
func (m *Mutes) write(names []string) error {
	text, err := json.Marshal(names)
	if err != nil {
		return err
	}
	temp := m.path + ".new" // always the same, so that one who is killed here leaves no more than that
	if err := writeText(temp, append(text, '\n')); err != nil {
		_ = os.Remove(temp)
		return err
	}
	if err := os.Rename(temp, m.path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	m.names = names
	return nil
}

// writeText writes a file that only this user can read, to the disk.
func writeText(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}
