package tray

import "context"

// Run shows the tray until ctx ends (nil) or the session does
// (ErrSessionEnded). It must be called from the main goroutine, once a process.
// While it runs, what package log is given goes to c.Log, since that is where
// the tray library complains; so c.Log must not write through package log.
func Run(ctx context.Context, c Config) error {
	defer capture(c)()
	return show(ctx, c)
}

// HasHost tells whether the desktop shows tray icons: the menu bar always does.
func HasHost(context.Context) (has bool, advises string, err error) { return true, "", nil }

// iconFile is a PNG as the tray library takes pictures.
func iconFile(png []byte) []byte { return png }

// label is text as a menu takes it.
func label(s string) string { return s }
