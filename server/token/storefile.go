package token

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"slices"
	"time"
)

const (
	storeVersion = 1

	// tenYears is how long a token is remembered as withdrawn whose end is not
	// known: as long as one lives that is good until it is withdrawn.
	tenYears = 10 * 365 * 24 * time.Hour
)

// storeFile is what the file holds.
type storeFile struct {
	Version   int          `json:"version"`
	Links     []Link       `json:"links"` // oldest first
	Withdrawn []withdrawal `json:"withdrawn"`
	// All is when all tokens were withdrawn: those made then or before.
	All     time.Time    `json:"all,omitzero"`
	Retired []retirement `json:"retired"`
}

// withdrawal is a withdrawn token that is none of the links, or one that had ended
// by this clock.
type withdrawal struct {
	ID    string    `json:"id"`
	Until time.Time `json:"until"` // when it may be forgotten
}

// retirement is a key that no longer signs.
type retirement struct {
	Public ed25519.PublicKey `json:"public"`
	Until  time.Time         `json:"until"` // when its tokens end
}

// parseStore reads what a file holds. An error completes "list of links PATH":
// a damaged file must not be taken for an empty one, since then withdrawn links
// would live again.
func parseStore(text []byte) (storeFile, error) {
	damaged := errors.New("is damaged: restore it, or delete it and the key file, which ends all links, and start anew")
	var version struct{ Version int }
	if json.Unmarshal(text, &version) != nil || version.Version < 1 {
		return storeFile{}, damaged
	}
	if version.Version > storeVersion {
		return storeFile{}, errors.New("is of a newer version: update this program")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var file storeFile
	if dec.Decode(&file) != nil ||
		slices.ContainsFunc(file.Links, func(l Link) bool { return l.ID == "" || l.Made.IsZero() || l.Ends.IsZero() }) ||
		slices.ContainsFunc(file.Withdrawn, func(w withdrawal) bool { return w.ID == "" || w.Until.IsZero() }) ||
		slices.ContainsFunc(file.Retired, func(r retirement) bool {
			return len(r.Public) != ed25519.PublicKeySize || r.Until.IsZero()
		}) {
		return storeFile{}, damaged
	}
	return file, nil
}

// before says whether a token made at made was withdrawn with all others.
func (f *storeFile) before(made time.Time) bool {
	return !f.All.IsZero() && !made.After(f.All)
}

// revoked says whether a token is withdrawn.
func (f *storeFile) revoked(c Claims) bool {
	return f.before(c.Issued) ||
		slices.ContainsFunc(f.Links, func(l Link) bool { return l.Withdrawn && l.ID == c.ID }) ||
		slices.ContainsFunc(f.Withdrawn, func(w withdrawal) bool { return w.ID == c.ID })
}

func (f *storeFile) withdraw(id string, now time.Time) {
	for i := range f.Links {
		if l := &f.Links[i]; l.ID == id {
			l.Withdrawn = true
			if now.Before(l.Ends) {
				return
			}
			// Who withdraws what has ended is at odds with a relay's clock, to which
			// it is to be told.
		}
	}
	f.Withdrawn = slices.DeleteFunc(f.Withdrawn, func(w withdrawal) bool { return w.ID == id })
	f.Withdrawn = append(f.Withdrawn, withdrawal{id, whole(now.Add(tenYears)).UTC()})
}

func (f *storeFile) retire(old *Key, until time.Time) {
	public := old.private.Public().(ed25519.PublicKey)
	f.Retired = slices.DeleteFunc(f.Retired, func(r retirement) bool { return r.Public.Equal(public) })
	f.Retired = append(f.Retired, retirement{public, until})
}

// utc is t in UTC, and the zero time if t is that.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}
