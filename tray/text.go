package tray

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes a line of at most most characters of text from outside: white
// space, line ends among it, becomes single spaces; what is invisible goes,
// bidirectional overrides above all, since they let a name rewrite what stands
// around it; and so do stacks of accents, which would draw over other lines.
// A cut line ends in "…".
func clean(s string, most int) string {
	const (
		accents = 3      // that one letter may carry
		zwnj    = 0x200c // parts letters in Persian
		zwj     = 0x200d // joins emoji
	)
	var out []rune
	marks, gap := 0, false
	for _, r := range strings.ToValidUTF8(s, "\ufffd") {
		if unicode.IsSpace(r) {
			gap = len(out) > 0
			continue
		}
		if unicode.Is(unicode.M, r) {
			marks++
		} else {
			marks = 0
		}
		joins := (r == zwj || r == zwnj) && len(out) > 0
		if marks > accents || !joins && !visible(r) {
			continue
		}
		if gap {
			out, gap = append(out, ' '), false
		}
		out = append(out, r)
	}
	if len(out) > most {
		out = append(out[:most-1], '…')
	}
	return string(out)
}

// visible tells whether r draws something, or at least belongs to what does.
func visible(r rune) bool {
	const blank = 0x2800 // of Braille, with no dots
	return unicode.IsPrint(r) && r != blank && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

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
