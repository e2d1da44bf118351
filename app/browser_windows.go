package main

import (
	"context"
	"fmt"

	"golang.org/x/sys/windows"
)

// openURL opens url in the user's browser, without a program in between that
// would read it in a way of its own.
func openURL(_ context.Context, url string) error {
	target, err := windows.UTF16PtrFromString(url)
	if err == nil {
		err = windows.ShellExecute(0, nil, target, nil, nil, windows.SW_SHOWNORMAL)
	}
	if err != nil {
		return fmt.Errorf("open browser: %w", err)
	}
	return nil
}
