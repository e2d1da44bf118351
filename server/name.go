package server

import (
	"github.com/mileusna/useragent"

	"earshot/server/line"
)

// maxName is how many characters of a name are shown.
const maxName = 60

// displayName returns what a listener is called: the name in the token, else
// "Guest" with what the browser says of itself. Both are text of strangers.
func displayName(name, agent string) string {
	if name = line.Clean(name, maxName); name != "" {
		return name
	}
	ua := useragent.Parse(agent)
	browser, system := line.Clean(ua.Name, maxName), line.Clean(ua.OS, maxName)
	switch {
	case browser == "":
		return "Guest"
	case system == "":
		return "Guest · " + browser
	}
	return "Guest · " + browser + " on " + system
}
