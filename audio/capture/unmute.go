package capture

import (
	"context"
	"log/slog"
	"time"
)

// unmuteLimit is how long a sound server that hangs can hold up a start.
const unmuteLimit = 2 * time.Second

// Unmute unmutes at once what an Earshot that ended too soon left muted, among
// the outputs that are there. Watch does the same for as long as it runs; this is
// for a start that may not get as far as that.
func Unmute(ctx context.Context, log *slog.Logger, m *Mutes) {
	if len(m.left()) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, unmuteLimit)
	defer cancel()
	Watch(ctx, WatchConfig{Log: log, Mutes: m, Tell: func(Sounds) { cancel() }})
}
