//go:build unix

package server

import (
	"syscall"
)

// canTry says that writeNow is there.
const canTry = true

// writeNow writes what a socket that doesn't wait takes at once.
func writeNow(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
