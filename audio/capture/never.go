package capture

import (
	"slices"
	"strconv"
	"strings"
)

// Covers tells whether name, one of a Choice's Never, means o: by its name or its
// title, whatever their case, or as another profile of the same device. What is
// too much is held back rather than shared.
func Covers(name string, o Output) bool {
	name = strings.TrimSpace(name)
	if name == "" {
		return false
	}
	device := deviceOf(name)
	return strings.EqualFold(name, o.Name) || strings.EqualFold(name, strings.TrimSpace(o.Title)) ||
		device != "" && device == deviceOf(o.Name)
}

// Unmatched returns those of names that mean none of outputs: wrong ones, and
// those of outputs that are not there just now.
func Unmatched(names []string, outputs []Output) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(outputs, func(o Output) bool { return Covers(name, o) })
	})
}

// never tells whether the output of that name and title may not be captured.
func (c Choice) never(name, title string) bool {
	o := Output{Name: name, Title: title}
	return slices.ContainsFunc(c.Never, func(never string) bool { return Covers(never, o) })
}

// deviceOf returns the device that the output of that name belongs to; "" where
// the name doesn't tell, or others hear what a second output of it plays: a
// computer's own sound has one for its speakers and one for a television.
//
// PulseAudio and PipeWire name an output for its device and the profile that the
// device is in. A headset's is another one during a call than for music.
func deviceOf(name string) string {
	name = strings.ToLower(name)
	parts := strings.Split(name, ".")
	switch {
	case (parts[0] == "bluez_sink" || parts[0] == "bluez_output") && len(parts) > 1: // KIND.ADDRESS.PROFILE
		return strings.ReplaceAll(parts[1], ":", "_")
	case strings.HasPrefix(name, "alsa_output.usb-"): // KIND.DEVICE.PROFILE, and .2 for a second one of that name
		end := len(parts)
		if _, err := strconv.Atoi(parts[end-1]); err == nil {
			end--
		}
		return strings.Join(parts[:max(end-1, 2)], ".")
	}
	return ""
}
