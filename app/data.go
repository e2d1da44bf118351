package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// dataFolder holds what is one Earshot's: its key, links and choices, its lock
// and control socket.
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
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", fmt.Errorf("open data folder: %w", err)
	}
	if err := closeFolder(path, info, len(entries) == 0); err != nil {
		return "", err
	}
	return dataFolder(path), nil
}

func (d dataFolder) key() string     { return filepath.Join(string(d), "key.pem") }
func (d dataFolder) lock() string    { return filepath.Join(string(d), "lock") }
func (d dataFolder) control() string { return filepath.Join(string(d), "control") }
func (d dataFolder) links() string   { return filepath.Join(string(d), "links.json") }
func (d dataFolder) choices() string { return filepath.Join(string(d), "choices.json") }
func (d dataFolder) sound() string   { return filepath.Join(string(d), "sound.json") }
func (d dataFolder) muted() string   { return filepath.Join(string(d), "muted.json") }
func (d dataFolder) relays() string  { return filepath.Join(string(d), "relays.json") }
