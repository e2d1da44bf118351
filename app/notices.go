package main

import (
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"earshot/server"
	"earshot/server/line"
)

// noticeKind is what a notification is about that the user may not want.
type noticeKind string

const (
	noticeLink     noticeKind = "link"           // a link was copied
	noticeListener noticeKind = "first-listener" // somebody listens, and before nobody did
	noticeTrouble  noticeKind = "trouble"        // no sound is to be had, and that it is again

	noticeNone noticeKind = "none" // in settings only: no kind
)

var noticeKinds = []noticeKind{noticeLink, noticeListener, noticeTrouble}

func (k *noticeKind) UnmarshalText(text []byte) error {
	*k = noticeKind(text)
	if !slices.Contains(noticeKinds, *k) && *k != noticeNone {
		return fmt.Errorf("%q is nothing that notifications are about: use link, first-listener and trouble, or none", text)
	}
	return nil
}

const (
	// apart is how long nobody may have listened for a first listener to be
	// worth telling of again: not one who reloads the page.
	apart = time.Minute
	// lasting is how long trouble is there before it is told of, and how long
	// it is gone: headphones are changed without a word.
	lasting = 5 * time.Second
)

// notice is a notification.
type notice struct {
	kind        noticeKind
	title, text string
}

// watcher finds out what the user is told of as it happens.
type watcher struct {
	left time.Time // when the last listener left; zero while somebody listens, and before the first
	any  bool      // somebody listens

	ill    time.Time // since when there was trouble, but for short breaks; zero for none
	well   time.Time // since when there is none
	told   bool      // of the trouble
	failed string    // what was told of a stream that stopped by itself
}

// look returns what to tell at now, and after how long to look again though
// nothing changes; 0 for never.
func (w *watcher) look(now time.Time, e engineStatus, all []server.Listener) (tell []notice, again time.Duration) {
	switch {
	case len(all) > 0 && !w.any:
		if w.left.IsZero() || now.Sub(w.left) >= apart {
			tell = append(tell, arrival(e, all))
		}
		w.any = true
	case len(all) == 0 && w.any:
		w.any, w.left = false, now
	}

	if !e.on {
		if e.trouble != "" && e.trouble != w.failed {
			tell = append(tell, notice{noticeTrouble, "Nobody can hear you", sentence(e.trouble)})
		}
		*w = watcher{left: w.left, any: w.any, failed: e.trouble}
		return tell, 0
	}
	w.failed = ""
	if e.trouble != "" {
		w.well = time.Time{}
		if w.ill.IsZero() {
			w.ill = now
		}
		if w.told {
			return tell, 0
		}
		if left := lasting - now.Sub(w.ill); left > 0 {
			return tell, left
		}
		w.told = true
		return append(tell, notice{noticeTrouble, "Nobody can hear you", sentence(e.trouble) + " The sound goes on by itself."}), 0
	}
	if w.ill.IsZero() {
		return tell, 0
	}
	if w.well.IsZero() {
		w.well = now
	}
	if left := lasting - now.Sub(w.well); left > 0 {
		return tell, left
	}
	if w.told {
		tell = append(tell, notice{noticeTrouble, "You can be heard again", ""})
	}
	w.ill, w.told = time.Time{}, false
	return tell, 0
}

// arrival tells of those who listen where before nobody did.
func arrival(e engineStatus, all []server.Listener) notice {
	who := line.Clean(all[0].Name, 40)
	if who == "" {
		who = "Somebody"
	}
	does, do := "listens", "listen"
	n := notice{kind: noticeListener}
	if !e.on {
		does, do = "waits to hear you", "wait to hear you"
		n.text = "Start Earshot from its tray icon to be heard."
	}
	if more := len(all) - 1; more > 0 {
		n.title = fmt.Sprintf("%s and %d more %s", who, more, do)
	} else {
		n.title = who + " " + does
	}
	return n
}

// sentence makes a sentence of what is wrong, which is a phrase.
func sentence(phrase string) string {
	phrase = line.Clean(phrase, 200)
	first, size := utf8.DecodeRuneInString(phrase)
	return string(unicode.ToUpper(first)) + phrase[size:] + "."
}
