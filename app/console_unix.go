//go:build !windows

package main

import (
	"strings"
	"syscall"
	"unicode"
)

// A program has the terminal that it was started from, and keeps it.

func joinConsole()  {}
func leaveConsole() {}

// quote writes s as a shell takes it for one word.
func quote(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-", r)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// What is wrong with an address to listen on.
const (
	addressInUse   = syscall.EADDRINUSE
	addressDenied  = syscall.EACCES
	addressMissing = syscall.EADDRNOTAVAIL
)
