package tray

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// sentence begins s with a capital letter.
func sentence(s string) string {
	if s == "" {
		return s
	}
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}

// tooltip is text for the icon's tooltip. Some panels take markup there, and
// Windows 127 units of UTF-16.
func tooltip(s string) string {
	s = strings.NewReplacer("<", "‹", ">", "›", "&", "+").Replace(s)
	units := 0
	for i, r := range s {
		if units += utf16.RuneLen(r); units > 127 {
			return s[:i]
		}
	}
	return s
}
