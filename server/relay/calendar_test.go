package relay

import (
	"testing"
	"time"
)

func TestCalendar(t *testing.T) {
	const day = calendarDay
	start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for name, steps := range map[string][]struct {
		passed, off, want time.Duration // off: by how much the clock is; want: the time of day that is sure
	}{
		"a clock that is right": {{0, 0, 0}, {time.Hour, 0, time.Hour}, {90 * day, 0, 90 * day}},
		"ahead for a while":     {{0, 0, 0}, {time.Hour, 100 * day, time.Hour}, {day - 1, 100 * day, day - 1}, {day, 0, day}, {9 * day, 0, 9 * day}},
		// Just before a day ends, too.
		"ahead at the end of a day": {{0, 0, 0}, {day - 1, 100 * day, day - 1}, {day, 100 * day, day}, {2*day - 1, 100 * day, 2*day - 1}},
		"set ahead for good":        {{0, 0, 0}, {time.Hour, 100 * day, time.Hour}, {day, 100 * day, day}, {2 * day, 100 * day, 102 * day}, {3 * day, 100 * day, 103 * day}},
		"started in 1970":           {{0, -20000 * day, -20000 * day}, {time.Minute, 0, -20000*day + time.Minute}, {day, 0, -19999 * day}, {2 * day, 0, 2 * day}},
		"set back":                  {{0, 0, 0}, {time.Hour, -100 * day, -100*day + time.Hour}, {2 * time.Hour, 0, -100*day + 2*time.Hour}, {day, 0, -99 * day}, {2 * day, 0, 2 * day}},
		"started ahead":             {{0, 100 * day, 100 * day}, {time.Hour, 0, time.Hour}},
		"asleep for days":           {{0, 0, 0}, {50 * day, 0, 50 * day}},
		"ahead after days":          {{0, 0, 0}, {50 * day, 100 * day, 50 * day}, {50*day + 1, 100 * day, 50*day + 1}},
	} {
		var c calendar
		for _, s := range steps {
			if got := c.sure(start.Add(s.passed+s.off), s.passed); !got.Equal(start.Add(s.want)) {
				t.Errorf("%s, after %v: %v, want %v", name, s.passed, got.Sub(start), s.want)
			}
		}
	}
}
