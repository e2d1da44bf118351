package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// checkForm checks what golang-jwt doesn't: the size, line breaks in base64url,
// UTF-8, members that occur twice, and crit.
func checkForm(raw string) error {
	if len(raw) > maxSize {
		return fmt.Errorf("it is longer than %d bytes", maxSize)
	}
	if strings.ContainsAny(raw, "\r\n") {
		return errors.New("it has line breaks")
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return errors.New("it has not three parts")
	}
	for i, part := range parts[:2] {
		object, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil {
			return errors.New("it is not base64url")
		}
		members, err := checkObject(object)
		if err != nil {
			return err
		}
		if i == 0 && slices.Contains(members, "crit") {
			return errors.New("its header has critical extensions, and none is known")
		}
	}
	return nil
}

// checkObject returns the names of the members of a JSON object; an error when
// text is something else, or when a name occurs twice in it or in an object
// inside it.
func checkObject(text []byte) ([]string, error) {
	errForm := errors.New("a part of it is not a JSON object")
	if !utf8.Valid(text) || !json.Valid(text) {
		return nil, errForm
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	type open struct {
		object bool
		names  []string
		value  bool // a name was read and its value comes next
	}
	var stack []open
	for {
		tok, err := dec.Token()
		if err != nil {
			return nil, errForm
		}
		if delim, ok := tok.(json.Delim); ok && (delim == '}' || delim == ']') {
			closed := stack[len(stack)-1]
			if stack = stack[:len(stack)-1]; len(stack) == 0 {
				return closed.names, nil
			}
			continue
		}
		if len(stack) > 0 {
			top := &stack[len(stack)-1]
			if name, ok := tok.(string); ok && top.object && !top.value {
				if slices.Contains(top.names, name) {
					return nil, errors.New("a member of it occurs twice")
				}
				top.names = append(top.names, name)
				top.value = true
				continue
			}
			top.value = false
		}
		delim, opens := tok.(json.Delim)
		switch {
		case len(stack) == 0 && (!opens || delim != '{'):
			return nil, errForm
		case opens:
			stack = append(stack, open{object: delim == '{'})
		}
	}
}
