package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// writeFile writes text to path in one step, so that whoever reads it just then,
// or after this program or the computer was ended in the middle, reads the old
// file or the new one. Missing folders are made. One goroutine of one program at
// a time may write a file.
func writeFile(path, text string, mode fs.FileMode) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp := path + ".new" // one that a program has left is written over
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp)
		}
	}()
	_, err = file.WriteString(text)
	if err == nil {
		err = errors.Join(file.Chmod(mode), file.Sync())
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
