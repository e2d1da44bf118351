//go:build !windows

package server

import (
	"math"
	"syscall"
)

// fileLimit is how many file descriptors this program may have. (Go has asked for
// as many as it can get.)
func fileLimit() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(limit.Cur)
}
