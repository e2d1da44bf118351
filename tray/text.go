package tray

import (
	"strings"
	"unicode"
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

// tooltip is text for the icon's tooltip. Some panels take markup there.
func tooltip(s string) string {
	return strings.NewReplacer("<", "‹", ">", "›", "&", "+").Replace(s)
}
