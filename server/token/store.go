package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"earshot/server/atomicfile"
)

const (
	maxLinks    = 10_000 // that have not ended or been withdrawn; a change takes 50 ms then
	lockTimeout = 10 * time.Second
	lockRetry   = 5 * time.Millisecond
	lockPause   = 2 * lockRetry // between two changes, for other programs
)

// Link is a token that was issued, as the owner's list shows it. It never holds
// the token.
type Link struct {
	ID        string    `json:"id"`
	Name      string    `json:"name,omitempty"`
	Scope     string    `json:"scope"`
	Key       string    `json:"key,omitempty"` // ID of the key that signed it
	Made      time.Time `json:"made"`
	NotBefore time.Time `json:"notBefore,omitzero"`
	Ends      time.Time `json:"ends"`
	Listeners int       `json:"listeners,omitempty"`
	Withdrawn bool      `json:"withdrawn,omitempty"`
}

// Store is the list of links and of what was withdrawn, in one JSON file that
// several programs may read and change at once: every change is made, under a
// lock, to what the file holds at that moment, and is on the disk before it
// counts. The file is replaced in one step, so that one that can't be written
// in full, and a program that is ended at any moment, leave it as it was. Of what
// is over the latest stays in the file: see prune.
//
// Any goroutine may use a Store.
//
// There are no more than 10,000 links at once that have not ended or been
// withdrawn, so that a program that makes them can't make every change slow.
type Store struct {
	path string
	now  func() time.Time
	step func(string) // for tests: called before each step of writing; may be nil

	turn chan struct{} // capacity 1: full while a goroutine has the lock, or waits for it
	left time.Time     // when the last one left it; whose turn it is has it
	seen atomic.Bool   // the file was there

	disk sync.Mutex   // held while the file is read or written, until that is taken
	mu   sync.RWMutex // guards the rest
	file storeFile
	dead map[string]bool // the IDs of tokens that are withdrawn
}

// OpenStore reads the file at path, which need not exist; its folder must.
func OpenStore(path string, now func() time.Time) (*Store, error) {
	s := &Store{path: path, now: now, turn: make(chan struct{}, 1)}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload reads the file anew, after another program has changed it. With an
// error the Store is as it was.
func (s *Store) Reload() error {
	if runtime.GOOS == "windows" { // where a file that is open can't be replaced
		return s.locked(s.reload)
	}
	return s.reload()
}

func (s *Store) reload() error {
	s.disk.Lock()
	defer s.disk.Unlock()
	file, err := s.read()
	if err == nil {
		s.take(file)
	}
	return err
}

// Issue signs a new token and records it. Nothing is issued that could not be
// recorded, nor for who asks with a token that has ended or was withdrawn by
// then, whatever program did that: the error is an *Error. k must be the key in
// use: the tokens of a retired one end with it.
func (s *Store) Issue(k *Key, g Grant) (raw string, l Link, err error) {
	switch {
	case g.For < time.Second:
		return "", Link{}, errors.New("make link: choose a validity of a second or more")
	case g.Listeners < 0:
		return "", Link{}, errors.New("make link: choose how many may listen at once, or 0 for any number")
	}
	err = s.change(func(file *storeFile) error {
		now := s.now()
		if by := g.By; by != nil {
			switch {
			case file.revoked(*by):
				return &Error{Withdrawn, "it was withdrawn"}
			case !by.Expires.IsZero() && !now.Before(by.Expires):
				return &Error{Expired, "it has expired"}
			case !by.Expires.IsZero():
				begin := now
				if g.NotBefore.After(now) {
					begin = g.NotBefore
				}
				g.For = min(g.For, by.Expires.Sub(begin)) // it waited for the lock
			}
		}
		good := 0
		for _, l := range file.Links {
			if now.Before(l.Ends) && !l.Withdrawn && !file.before(l.Made) {
				good++
			}
		}
		if good >= maxLinks {
			return fmt.Errorf("make link: there are %d that have not ended: withdraw some, or choose a shorter validity, so that they end sooner", maxLinks)
		}
		made := now
		if !whole(now).After(file.All) {
			made = file.All.Add(time.Second)
		}
		if made.After(now.Add(leeway)) {
			return fmt.Errorf("make link: all links were withdrawn at %s, by a clock that was ahead of this one: set the clock if it is behind; else wait until then, "+
				"or delete %s and the key file, which ends all links, and start anew", file.All.Format(time.RFC3339), s.path)
		}
		signed, c, err := k.issue(g, now, made)
		if err != nil {
			return err
		}
		raw = signed
		l = Link{c.ID, c.Name, g.Scope, k.id, c.Issued.UTC(), utc(c.NotBefore), c.Expires.UTC(), c.Listeners, false}
		file.Links = append(file.Links, l)
		return nil
	})
	if err != nil {
		return "", Link{}, err
	}
	return raw, l, nil
}

// Links returns the links that have not ended, newest first, but for those that
// were withdrawn with all others. Ends is when a link's key ends, where that is
// retired and ends first.
func (s *Store) Links() []Link {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := s.now()
	until := map[string]time.Time{}
	for _, r := range s.file.Retired {
		until[thumbprint(r.Public)] = r.Until
	}
	var links []Link
	for _, l := range slices.Backward(s.file.Links) {
		if end, retired := until[l.Key]; retired && end.Before(l.Ends) {
			l.Ends = end
		}
		if now.Before(l.Ends) && !s.file.before(l.Made) {
			l.Withdrawn = s.dead[l.ID]
			links = append(links, l)
		}
	}
	return links
}

// Withdraw ends tokens, by the IDs that [Claims] and [Link] have. An ID need not
// be that of a link: tokens of other programs can be withdrawn, too.
func (s *Store) Withdraw(ids ...string) error {
	for _, id := range ids {
		if !good(id) {
			return errors.New("withdraw link: that is no ID: take one from the list of links")
		}
	}
	return s.change(func(file *storeFile) error {
		for _, id := range ids {
			file.withdraw(id, s.now())
		}
		return nil
	})
}

// good tells whether an ID may be one of [Claims].
func good(id string) bool {
	key, rest, found := strings.Cut(id, ":")
	return found && isName(key) && plain(rest) || !found && plain(id)
}

// WithdrawAll ends all tokens that were made until now, and those that don't
// say when they were made.
func (s *Store) WithdrawAll() error {
	return s.change(func(file *storeFile) error {
		if now := whole(s.now()).UTC(); now.After(file.All) {
			file.All = now
		}
		latest := s.now().Add(leeway)
		for i, l := range file.Links {
			switch {
			case l.Made.After(latest):
				// By a clock that was ahead of this one: were All to be then, no
				// link could be made until that time.
				file.Links[i].Withdrawn = true
			case l.Made.After(file.All): // after an earlier WithdrawAll of the same second, say
				file.All = l.Made
			}
		}
		return nil
	})
}

// Revoked says whether a token is withdrawn, for [Verifier].
func (s *Store) Revoked(c Claims) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.dead[c.ID] || s.file.before(c.Issued)
}

// Rotate puts a new key in the place of the one in the file at path and returns
// it. The tokens of the old one are good until the moment given, by [Retired].
// The old key is retired before the new one is there: a program that is ended
// in between leaves the old one in use.
func (s *Store) Rotate(path string, until time.Time) (*Key, error) {
	key, text, err := generateKey()
	if err != nil {
		return nil, fmt.Errorf("rotate key: %w", err)
	}
	err = s.locked(func() error {
		// Read here, since another program may have rotated.
		old, err := OpenKey(path)
		if err != nil {
			return err
		}
		file, err := s.read()
		if err != nil {
			return err
		}
		file.retire(old, whole(until).UTC())
		if err := s.write(file); err != nil {
			return err
		}
		if err := atomicfile.Replace(path, text, 0o600, s.step); err != nil {
			return fmt.Errorf("write key file: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return key, nil
}

// Retired returns what checks the tokens of retired keys. A [Verifier] takes
// the key in use before these: after an interrupted [Store.Rotate] it is among
// them.
func (s *Store) Retired() []VerifyKey {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := s.now()
	var keys []VerifyKey
	for _, r := range s.file.Retired {
		if now.Before(r.Until) {
			k := own(r.Public)
			k.Until = r.Until
			keys = append(keys, k)
		}
	}
	return keys
}

// change applies f to what the file holds now, and writes that.
func (s *Store) change(f func(*storeFile) error) error {
	return s.locked(func() error {
		file, err := s.read()
		if err != nil {
			return err
		}
		if err := f(&file); err != nil {
			return err
		}
		return s.write(file)
	})
}

// locked runs f while no other program or goroutine changes the file. One
// goroutine at a time looks whether the lock is free, and leaves it so for
// longer than other programs wait between two looks.
func (s *Store) locked(f func() error) error {
	lock := flock.New(s.path + ".lock")
	ctx, cancel := context.WithTimeout(context.Background(), lockTimeout)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return errors.New("lock list of links: too many changes are waiting: try again")
	}
	time.Sleep(time.Until(s.left.Add(lockPause)))
	if _, err := lock.TryLockContext(ctx, lockRetry); errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("lock list of links: another program holds %s: end it, or try again", lock.Path())
	} else if err != nil {
		return fmt.Errorf("lock list of links: %w", err)
	}
	defer func() {
		_ = lock.Close()
		s.left = time.Now()
	}()
	return f()
}

func (s *Store) read() (storeFile, error) {
	text, err := atomicfile.Read(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		if s.seen.Load() {
			return storeFile{}, fmt.Errorf("list of links %s is missing: restore it, or delete the key file, too, which ends all links, and start anew", s.path)
		}
		return storeFile{Version: storeVersion}, nil
	}
	if err != nil {
		return storeFile{}, fmt.Errorf("read list of links: %w", err)
	}
	file, err := parseStore(text)
	if err != nil {
		return storeFile{}, fmt.Errorf("list of links %s %w", s.path, err)
	}
	s.seen.Store(true)
	return file, nil
}

func (s *Store) write(file storeFile) error {
	file.prune(s.now())
	text, err := json.MarshalIndent(file, "", "\t")
	if err != nil {
		return fmt.Errorf("write list of links: %w", err)
	}
	s.disk.Lock()
	defer s.disk.Unlock()
	if err := atomicfile.Replace(s.path, append(text, '\n'), 0o600, s.step); err != nil {
		// What counts is what the file holds, which may be new even now.
		if file, readErr := s.read(); readErr == nil {
			s.take(file)
		}
		return fmt.Errorf("write list of links: %w", err)
	}
	s.seen.Store(true)
	s.take(file)
	return nil
}

// take makes file what the Store answers from.
func (s *Store) take(file storeFile) {
	dead := map[string]bool{}
	for _, l := range file.Links {
		if l.Withdrawn {
			dead[l.ID] = true
		}
	}
	for _, w := range file.Withdrawn {
		dead[w.ID] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file, s.dead = file, dead
}
