package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// files are the names of all that is in a folder.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	// What a program has left that was ended is in nobody's way.
	if err := os.WriteFile(path+".new", []byte("half of someth"), 0o444); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", "and second", ""} {
		if err := Replace(path, []byte(want), 0o600, nil); err != nil {
			t.Fatal(err)
		}
		if text, err := Read(path); err != nil || string(text) != want {
			t.Errorf("the file holds %q, %v; want %q", text, err, want)
		}
	}
	if got := files(t, dir); !slices.Equal(got, []string{"file"}) {
		t.Errorf("the folder holds %q", got)
	}
	// A folder can't be replaced: nothing is left of the attempt.
	if err := os.Mkdir(path+"2", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path+"2", []byte("x"), 0o600, nil); err == nil {
		t.Error("a folder was replaced")
	}
	if got := files(t, dir); !slices.Equal(got, []string{"file", "file2"}) {
		t.Errorf("the folder holds %q", got)
	}
	if _, err := Read(path + "3"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading what isn't there: %v", err)
	}
}

// Of many who create a file at once one does, and all others are told that it is
// there.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	var made atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			switch err := Create(path, []byte("text")); {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
			if text, err := Read(path); err != nil || string(text) != "text" {
				t.Errorf("the file holds %q, %v", text, err)
			}
		})
	}
	all.Wait()
	if n := made.Load(); n != 1 {
		t.Errorf("%d created it", n)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"file"}) {
		t.Errorf("the folder holds %q", got)
	}
}
