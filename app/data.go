package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// dataFolder holds the key, the lock and the control socket of one Earshot.
type dataFolder string

// openData makes sure that the folder exists and is this user's alone.
func openData(path string) (dataFolder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("create data folder: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("open data folder: %w", err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("data folder %s is a file: choose a folder with --data", path)
	}
	if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		entries, err := os.ReadDir(path)
		if err != nil {
			return "", fmt.Errorf("open data folder: %w", err)
		}
		if len(entries) > 0 {
			return "", fmt.Errorf("data folder %s is open to others: run chmod 700 on it, or choose another with --data", path)
		}
		if err := os.Chmod(path, 0o700); err != nil {
			return "", fmt.Errorf("close data folder to others: %w", err)
		}
	}
	return dataFolder(path), nil
}

func (d dataFolder) key() string     { return filepath.Join(string(d), "key.pem") }
func (d dataFolder) lock() string    { return filepath.Join(string(d), "lock") }
func (d dataFolder) control() string { return filepath.Join(string(d), "control") }
func (d dataFolder) links() string   { return filepath.Join(string(d), "links.json") }
