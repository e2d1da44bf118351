//go:build !windows

package main

import "context"

// announce shows a notification of a program that is about to end.
func announce(title, text string) {
	var n notifier
	defer n.close()
	_ = n.notify(context.Background(), title, text) // a terminal may have said it, too
}
