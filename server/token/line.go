package token

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
)

// keyLine begins the line that tells others of a laptop's public key.
const keyLine = "ed25519"

// PublicLine is the public half of the key as one line of text, for the
// configuration of a relay: "ed25519", the key in base64url (RFC 4648 section
// 5), and a comment.
func (k *Key) PublicLine(comment string) string {
	text := keyLine + " " + base64.RawURLEncoding.EncodeToString(k.private.Public().(ed25519.PublicKey))
	if comment = strings.Join(strings.Fields(comment), " "); comment != "" {
		text += " " + comment
	}
	return text
}

// ParsePublicLine returns what checks the tokens of the key that a line of
// [Key.PublicLine] tells of: a relay's, which may listen and publish.
func ParsePublicLine(text string) (VerifyKey, error) {
	parts := strings.Fields(text)
	if len(parts) < 2 || parts[0] != keyLine {
		return VerifyKey{}, errors.New(`a public key is a line such as "ed25519 AbC…", which earshot relay key prints on the laptop`)
	}
	public, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil || len(public) != ed25519.PublicKeySize {
		return VerifyKey{}, errors.New("the public key is damaged: copy the whole line again that earshot relay key prints on the laptop")
	}
	k := own(public)
	k.Scopes = []string{ScopeListen, ScopePublish}
	return k, nil
}
