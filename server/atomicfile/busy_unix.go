//go:build !windows

package atomicfile

func patiently(do func() error) error { return do() }
