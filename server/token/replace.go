package token

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// replace makes text what the file at path holds, with mode 0600 and all at
// once: whatever fails, and whenever the program or the computer is ended, the
// file holds either what it held or text. Only one program at a time may do
// this to a file. step, if not nil, is called before each step of it.
func replace(path string, text []byte, step func(string)) error {
	if step == nil {
		step = func(string) {}
	}
	temp := path + ".new"
	step("create")
	_ = os.Remove(temp) // of a program that was ended
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
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

// read returns what the file at path holds.
func read(path string) (text []byte, err error) {
	err = patiently(func() error {
		text, err = os.ReadFile(path)
		return err
	})
	return text, err
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
