//go:build linux

// Package packaging tests what build/package makes: from this tree, in clones
// of it. It has no code but tests.
package packaging

import (
	"bytes"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// scratch is a folder of this run of the tests.
var scratch string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if scratch, err = os.MkdirTemp("", "earshot-packages-"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(scratch)
		return m.Run()
	}())
}

// deadline bounds everything that a test waits for.
const deadline = 30 * time.Second

func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// output runs a command and returns all that it printed; package_ is Debian's
// that has it.
func output(t testing.TB, package_ string, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is missing (Debian package %s)", name, package_)
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}

// tree is a clone of the repository, and what was packaged in it.
type tree struct{ dir string }

func (tr tree) path(parts ...string) string {
	return filepath.Join(append([]string{tr.dir}, parts...)...)
}

// git runs git in the clone, as somebody who has no settings.
func (tr tree) git(args ...string) error {
	cmd := exec.Command("git", append([]string{"-C", tr.dir, "-c", "user.name=test", "-c", "user.email=test@example.org"}, args...)...)
	return run(cmd)
}

func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// pack runs build/package, with more in its environment.
func (tr tree) pack(env []string, targets ...string) error {
	cmd := exec.Command(tr.path("build", "package"), targets...)
	cmd.Env = append(os.Environ(), env...)
	return run(cmd)
}

// package_ is the path of the one package of Earshot whose name ends so, and
// relayPackage of earshot-relay's.
func (tr tree) package_(t testing.TB, ending string) string {
	t.Helper()
	return tr.find(t, `earshot[_\-][0-9]*`+ending)
}

func (tr tree) relayPackage(t testing.TB, ending string) string {
	t.Helper()
	return tr.find(t, `earshot-relay[_\-]*`+ending)
}

func (tr tree) find(t testing.TB, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(tr.path("bin", "packages", pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%d packages are like %s: %v %v", len(found), pattern, found, err)
	}
	return found[0]
}

// commit makes a clone of this tree in dir, with a commit of what is in none.
func commit(dir string) (tree, error) {
	source, err := filepath.Abs("../..")
	if err != nil {
		return tree{}, err
	}
	tr := tree{dir}
	if err := run(exec.Command("git", "clone", "--quiet", source, dir)); err != nil {
		return tr, err
	}
	changes := exec.Command("sh", "-euc", `cd "$1"
		git diff --binary HEAD | git -C "$2" apply --allow-empty
		git ls-files -z --others --exclude-standard | tar --null --files-from=- -c | tar -x -C "$2"`, "sh", source, dir)
	if err := run(changes); err != nil {
		return tr, err
	}
	if err := tr.git("add", "--all"); err != nil {
		return tr, err
	}
	return tr, tr.git("commit", "--quiet", "--allow-empty", "--message", "as it is")
}

// packed is a clone with all packages that can be made here.
var packed = sync.OnceValues(func() (tree, error) {
	tr, err := commit(filepath.Join(scratch, "a"))
	if err == nil {
		err = tr.pack(nil)
	}
	return tr, err
})

func pack(t testing.TB) tree {
	t.Helper()
	tr, err := packed()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// sum is the SHA-256 of a file.
func sum(t testing.TB, path string) string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// The checksums are of what is there, and all of it.
func TestChecksums(t *testing.T) {
	tr := pack(t)
	text, err := os.ReadFile(tr.path("bin", "packages", "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	listed := 0
	for line := range strings.Lines(string(text)) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if got := sum(t, tr.path("bin", "packages", name)); got != want {
			t.Errorf("%s: %s, listed as %s", name, got, want)
		}
		listed++
	}
	files, err := os.ReadDir(tr.path("bin", "packages"))
	if err != nil {
		t.Fatal(err)
	}
	if listed != len(files)-1 {
		t.Errorf("%d of %d are listed", listed, len(files)-1)
	}
}

// A release's packages are called so by its tag; without one they are a
// snapshot's, and changes that are in no commit show.
func TestVersion(t *testing.T) {
	tr, err := commit(filepath.Join(t.TempDir(), "clone"))
	if err != nil {
		t.Fatal(err)
	}
	version := func() string {
		return strings.TrimSpace(output(t, "bash", "bash", "-euc", `cd "$1"; . build/lib.sh; . build/packaging/common.sh; know_version 2>/dev/null; echo "$version"`, "bash", tr.dir))
	}
	matches := func(pattern string) {
		t.Helper()
		if got := version(); !regexp.MustCompile(`^` + pattern + `$`).MatchString(got) {
			t.Errorf("the version is %q, want %s", got, pattern)
		}
	}
	snapshot := version()
	matches(`\d+\.\d+\.\d+-git\d{14}\.[0-9a-f]{7}`)
	release, _, _ := strings.Cut(snapshot, "-")
	if err := tr.git("tag", "v9"+release); err != nil {
		t.Fatal(err)
	}
	matches(regexp.QuoteMeta(snapshot))
	if err := tr.git("tag", "v"+release); err != nil {
		t.Fatal(err)
	}
	matches(regexp.QuoteMeta(release))
	if err := os.WriteFile(tr.path("new.go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	matches(regexp.QuoteMeta(release) + "-changed")
}

// Another clone at another path, of somebody with other habits, gives the same
// bytes.
func TestReproducible(t *testing.T) {
	a := pack(t)
	b := tree{filepath.Join(scratch, "another place", "with a longer path")}
	// The clone's files have the modes of the umask, too.
	if err := run(exec.Command("sh", "-euc", `umask 077; mkdir -p "$(dirname "$2")"; git clone --quiet "$1" "$2"`, "sh", a.dir, b.dir)); err != nil {
		t.Fatal(err)
	}
	if err := b.pack([]string{"TZ=Asia/Tokyo", "LC_ALL=C.UTF-8", "SOURCE_DATE_EPOCH=1", "USER=somebody"}); err != nil {
		t.Fatal(err)
	}
	sums := func(tr tree) string {
		text, err := os.ReadFile(tr.path("bin", "packages", "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	one, other := sums(a), sums(b)
	if one == other {
		return
	}
	t.Errorf("in one clone:\n%s\nin the other:\n%s", one, other)
	if diffoscope, err := exec.LookPath("diffoscope"); err == nil {
		var out bytes.Buffer
		cmd := exec.Command(diffoscope, "--text", "-", a.path("bin", "packages"), b.path("bin", "packages"))
		cmd.Stdout = &out
		_ = cmd.Run() // it fails because they differ
		t.Log(out.String())
	}
}

// A Mac's package takes a Mac, and says so; what goes into it as it is, is
// well-formed.
func TestMac(t *testing.T) {
	err := tree{"../.."}.pack(nil, "macos")
	if err == nil || !strings.Contains(err.Error(), "on a Mac") {
		t.Errorf("made here: %v", err)
	}
	plist, err := os.Open("macos/Info.plist")
	if err != nil {
		t.Fatal(err)
	}
	defer plist.Close()
	keys := map[string]bool{}
	for decoder := xml.NewDecoder(plist); ; {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "key" {
			var key string
			if err := decoder.DecodeElement(&key, &start); err != nil {
				t.Fatal(err)
			}
			keys[key] = true
		}
	}
	for _, key := range []string{"CFBundleIdentifier", "CFBundleExecutable", "LSUIElement", "NSMicrophoneUsageDescription"} {
		if !keys[key] {
			t.Errorf("Info.plist lacks %s", key)
		}
	}
}
