//go:build !windows

package token

func patiently(do func() error) error { return do() }
