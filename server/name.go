package server

import (
	"strings"
	"unicode"

	"github.com/mileusna/useragent"
)

// maxName is how many characters of a name are shown.
const maxName = 60

// displayName returns what a listener is called: the name in the token, else
// "Guest" with what the browser says of itself. Both are text of strangers.
func displayName(name, agent string) string {
	if name = cleanName(name); name != "" {
		return name
	}
	ua := useragent.Parse(agent)
	browser, system := cleanName(ua.Name), cleanName(ua.OS)
	switch {
	case browser == "":
		return "Guest"
	case system == "":
		return "Guest · " + browser
	}
	return "Guest · " + browser + " on " + system
}

// cleanName returns s as one short line: without control and formatting
// characters, which could reverse or hide what stands around it.
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxName {
		s = strings.TrimSpace(string(r[:maxName-1])) + "…"
	}
	return s
}
