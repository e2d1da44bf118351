package tray

import (
	"log"
	"strings"

	"earshot/assets/icons"
)

// capture sends to c.Log what the tray library writes to package log, and
// returns what ends that.
func capture(c Config) (restore func()) {
	out, flags := log.Writer(), log.Flags()
	log.SetFlags(0)
	log.SetOutput(libraryLog{c})
	return func() {
		log.SetOutput(out)
		log.SetFlags(flags)
	}
}

// libraryLog is where package log writes to while the tray runs.
type libraryLog struct{ c Config }

func (l libraryLog) Write(p []byte) (int, error) {
	line := strings.TrimSpace(string(p))
	if strings.Contains(line, "failed to register:") {
		l.c.Log.Debug(line) // no tray host: watchHost says that in plain words
	} else {
		l.c.Log.Warn(line)
	}
	return len(p), nil
}

// picture is i as the tray library takes it.
func picture(i icon) []byte {
	switch i {
	case iconLive:
		return iconFile(icons.Live)
	case iconListening:
		return iconFile(icons.Listening)
	case iconTrouble:
		return iconFile(icons.Trouble)
	default:
		return iconFile(icons.Idle)
	}
}
