// Package line makes text of strangers, such as the names in tokens, fit to be
// shown to the owner.
package line

import (
	"strings"
	"unicode"
)

// Clean makes a line of at most most characters of text from outside: white
// space, line ends among it, becomes single spaces; what is invisible goes,
// bidirectional overrides above all, since they let a name rewrite what stands
// around it; and so do stacks of accents, which would draw over other lines.
// A cut line ends in "…".
func Clean(s string, most int) string {
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
