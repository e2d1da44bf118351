package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"github.com/adrg/xdg"
)

// logMost is how many bytes of log a file holds. There are two, the older one
// with ".1" at the end of its name.
const logMost = 1 << 20

// logFile keeps the newest of what is logged. Any goroutine may use it.
type logFile struct {
	path string
	most int64

	mu   sync.Mutex
	file *os.File
	size int64
}

// logPath is where an Earshot with that data folder keeps its log.
func logPath(data string) string {
	if data == defaultData() {
		return filepath.Join(xdg.StateHome, "earshot", "earshot.log")
	}
	return filepath.Join(data, "earshot.log")
}

// openLog opens the log at path, to go on with what is there. Only one program
// at a time may.
func openLog(path string, most int64) (*logFile, error) {
	l := &logFile{path: path, most: most}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return l, nil
}

// open opens the file. l.mu is held, or nobody else has l.
func (l *logFile) open() error {
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return err
	}
	l.file, l.size = file, info.Size()
	// Were this program to crash, the reason would go there, too.
	_ = debug.SetCrashOutput(file, debug.CrashOptions{})
	return nil
}

// Write adds one entry. It never fails: a full disk is no reason to log nowhere
// else.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil && l.size > 0 && l.size+int64(len(p)) > l.most {
		// Closed first: Windows renames no open file.
		_ = l.file.Close()
		l.file = nil
		_ = debug.SetCrashOutput(nil, debug.CrashOptions{})
		_ = os.Rename(l.path, l.path+".1")
		_ = l.open()
	}
	if l.file != nil {
		n, _ := l.file.Write(p)
		l.size += int64(n)
	}
	return len(p), nil
}

// close closes the file; what is written after is dropped.
func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = debug.SetCrashOutput(nil, debug.CrashOptions{})
		_ = l.file.Close()
		l.file = nil
	}
}
