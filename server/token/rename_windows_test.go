package token

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A file is replaced though somebody reads it just then.
func TestReplaceWhatIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".other"); err == nil {
		t.Fatal("Windows lets a file be renamed that is read: rename isn't needed")
	}
	time.AfterFunc(200*time.Millisecond, func() { _ = reader.Close() })
	if err := replace(path, []byte("new"), nil); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "new" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}
