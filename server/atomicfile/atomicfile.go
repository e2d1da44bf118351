// Package atomicfile keeps small files that a program or a computer may not leave half
// written: whatever fails, and whenever they are ended, a file holds all of what it
// held or all of what it shall hold.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Read returns what the file at path holds.
func Read(path string) (text []byte, err error) {
	err = patiently(func() error {
		text, err = os.ReadFile(path)
		return err
	})
	return text, err
}

// Replace makes text what the file at path holds, and mode its permissions, less
// the umask. Only one program, and goroutine, at a time may do this to a file. step,
// if not nil, is called before each step of it, for tests.
func Replace(path string, text []byte, mode fs.FileMode, step func(string)) error {
	if step == nil {
		step = func(string) {}
	}
	temp := path + ".new" // always the same, so that who is ended here leaves no more than that
	step("create")
	_ = os.Remove(temp) // of a program that was ended
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	step("write")
	_, err = file.Write(text)
	step("sync")
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		step("rename")
		err = patiently(func() error { return os.Rename(temp, path) })
	}
	if err != nil {
		_ = os.Remove(temp)
		return err
	}
	step("sync folder")
	err = syncFolder(filepath.Dir(path))
	step("end")
	return err
}

// Create writes a new file that this user alone may read; the error is fs.ErrExist
// where there is one already. Any number of programs may do this at once, of which
// one succeeds.
func Create(path string, text []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = patiently(func() error { return os.Remove(temp.Name()) }) }()
	_, err = temp.Write(text)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	// Unlike a rename, a link never replaces the file of a program that was quicker.
	if err := os.Link(temp.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes sure that a rename in the folder outlives a power cut, where
// the file system can.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" { // which can't
		return nil
	}
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	err = folder.Sync()
	if errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	return errors.Join(err, folder.Close())
}
