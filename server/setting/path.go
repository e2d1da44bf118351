package setting

import (
	"os"
	"path/filepath"
	"strings"
)

// Home replaces a leading ~, which a shell does for flags but nobody for the
// config file.
func Home(path string) string {
	rest, found := strings.CutPrefix(path, "~/")
	dir, err := os.UserHomeDir()
	if !found || err != nil {
		return path
	}
	return filepath.Join(dir, rest)
}

// Beside returns the path of a file that the config file at path names.
func Beside(path, name string) string {
	if name = Home(name); name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(path), name)
}
