//go:build !windows

package token

import "os"

func rename(from, to string) error { return os.Rename(from, to) }
