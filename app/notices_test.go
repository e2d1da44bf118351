package main

import (
	"slices"
	"testing"
	"time"

	"earshot/server"
)

// What is told when, by what happens at which second.
func TestWatcher(t *testing.T) {
	ann, bob := server.Listener{Name: "Ann"}, server.Listener{Name: "\u202eBob\n<b>"}
	live := engineStatus{on: true}
	ill := engineStatus{on: true, trouble: "the sound server is not running"}
	const (
		gone = "Nobody can hear you"
		back = "You can be heard again"
	)
	type step struct {
		at    int // s
		e     engineStatus
		all   []server.Listener
		tell  []string // titles
		again int      // s
	}
	one, both := []server.Listener{ann}, []server.Listener{ann, bob}
	tests := map[string][]step{
		"the first listener, and nobody after": {
			{0, live, nil, nil, 0},
			{1, live, one, []string{"Ann listens"}, 0},
			{2, live, both, nil, 0},
			{3, live, []server.Listener{bob}, nil, 0},
		},
		"who reloads the page is not told of again": {
			{0, live, one, []string{"Ann listens"}, 0},
			{10, live, nil, nil, 0},
			{69, live, one, nil, 0},
			{100, live, nil, nil, 0},
			{160, live, []server.Listener{bob}, []string{"Bob <b> listens"}, 0},
		},
		"several at once, while stopped": {
			{0, engineStatus{}, both, []string{"Ann and 1 more wait to hear you"}, 0},
		},
		"trouble that lasts": {
			{0, ill, nil, nil, 5},
			{2, engineStatus{on: true, trouble: "there is no sound output"}, nil, nil, 3},
			{5, ill, nil, []string{gone}, 0},
			{60, ill, one, []string{"Ann listens"}, 0},
			{100, live, one, nil, 5},
			{104, live, one, nil, 1},
			{105, live, one, []string{back}, 0},
			{110, live, one, nil, 0},
		},
		"headphones are changed": {
			{0, ill, nil, nil, 5},
			{1, live, nil, nil, 5},
			{6, live, nil, nil, 0},
			{7, ill, nil, nil, 5},
			{8, live, nil, nil, 5},
		},
		"a loose contact": {
			{0, ill, nil, nil, 5},
			{3, live, nil, nil, 5},
			{4, ill, nil, nil, 1},
			{6, ill, nil, []string{gone}, 0},
			{7, live, nil, nil, 5},
			{8, ill, nil, nil, 0},
			{9, live, nil, nil, 5},
			{14, live, nil, []string{back}, 0},
		},
		"stopped in trouble": {
			{0, ill, nil, nil, 5},
			{5, ill, nil, []string{gone}, 0},
			{6, engineStatus{}, nil, nil, 0},
			{7, ill, nil, nil, 5},
			{12, ill, nil, []string{gone}, 0},
		},
		"stopped by itself": {
			{0, live, nil, nil, 0},
			{1, engineStatus{trouble: "Stopped: the file is gone"}, nil, []string{gone}, 0},
			{2, engineStatus{trouble: "Stopped: the file is gone"}, one, []string{"Ann waits to hear you"}, 0},
			{3, live, one, nil, 0},
			{4, engineStatus{trouble: "Stopped: the file is gone"}, one, []string{gone}, 0},
		},
	}
	begin := time.Now()
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			var w watcher
			for _, s := range steps {
				told, again := w.look(begin.Add(time.Duration(s.at)*time.Second), s.e, s.all)
				var titles []string
				for _, n := range told {
					titles = append(titles, n.title)
				}
				if !slices.Equal(titles, s.tell) || again != time.Duration(s.again)*time.Second {
					t.Errorf("at %d s it tells %q and looks again after %v; want %q, %d s", s.at, titles, again, s.tell, s.again)
				}
			}
		})
	}
}
