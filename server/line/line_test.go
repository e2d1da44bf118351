package line

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "Ann Müller", "Ann Müller"},
		{"spaces", "  Ann \t\r\n  Lee\u2028\u00a0", "Ann Lee"},
		{"controls", "A\x00n\x1b[31mn\x7f", "An[31mn"},
		{"bidi", "\u202eevil\u202c \u2066x\u2069\u200f", "evil x"},
		{"broken UTF-8", "A\xffnn", "A\ufffdnn"},
		{"zero width", "A\u200bnn\ufeff", "Ann"},
		{"nothing to see", "\u3164\u2800\u00ad\u200d", ""},
		{"emoji", "👩\u200d💻 Ann", "👩\u200d💻 Ann"},
		{"Persian", "می\u200cخواهم", "می\u200cخواهم"},
		{"accents", "A" + strings.Repeat("\u0301", 50) + "nn", "A\u0301\u0301\u0301nn"},
		{"just fits", strings.Repeat("é", 20), strings.Repeat("é", 20)},
		{"too long", strings.Repeat("é", 21), strings.Repeat("é", 19) + "…"},
	}
	for _, tt := range tests {
		if got := Clean(tt.in, 20); got != tt.want {
			t.Errorf("%s: %q becomes %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("Ann")
	f.Add("\u202e\x00\n_&\xff👩\u200d💻")
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s, 20)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > 20 || strings.ContainsAny(got, "\x00\n\r\t\u202e\u2066\u2028") {
			t.Errorf("%q becomes %q", s, got)
		}
		if again := Clean(got, 20); again != got {
			t.Errorf("%q becomes %q, and that %q", s, got, again)
		}
	})
}
