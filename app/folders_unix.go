//go:build !windows

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/adrg/xdg"
)

// configFolder holds the config file.
func configFolder() string { return filepath.Join(xdg.ConfigHome, "earshot") }

// defaultData is the data folder of an Earshot that was given none.
func defaultData() string { return filepath.Join(xdg.DataHome, "earshot") }

// closeFolder sees that others can't open the folder at path. One that is empty
// it closes itself.
func closeFolder(path string, info fs.FileInfo, empty bool) error {
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if !empty {
		return fmt.Errorf("data folder %s is open to others: run chmod 700 on it, or choose another with --data", path)
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return fmt.Errorf("close data folder to others: %w", err)
	}
	return nil
}
