package main

import (
	native "encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// clockVariable names the file that says by how much the clock of a program that
// was built by shifted is off.
const clockVariable = "EARSHOT_TEST_CLOCK"

// testClock is a file that says by how much the time of day of programs is off: they
// see a change at once, as they would see the computer's clock be set. What passes
// is not touched by it.
type testClock struct {
	t    testing.TB
	file *os.File
}

func newClock(t testing.TB) *testClock {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "clock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	c := &testClock{t, file}
	c.set(0)
	return c
}

// set makes the time of day be off by d.
func (c *testClock) set(d time.Duration) {
	c.t.Helper()
	var text [8]byte
	native.NativeEndian.PutUint64(text[:], uint64(d))
	if _, err := c.file.WriteAt(text[:], 0); err != nil {
		c.t.Fatal(err)
	}
}

// env is the environment of programs that have this clock.
func (c *testClock) env(env []string) []string {
	return append(slices.Clone(env), clockVariable+"="+c.file.Name())
}

// clocked tells whether programs of this environment have a clock of the test's.
func clocked(env []string) bool {
	return slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, clockVariable+"=") })
}

// The programs whose time of day a test can set.
var (
	clockedBinary      = sync.OnceValues(func() (string, error) { return shifted(".", "-tags", "nolibopusfile") })
	clockedRelayBinary = sync.OnceValues(func() (string, error) { return shifted("./relay") })
)

// shifted builds a program as it is, but with a time.Now that asks clockVariable.
func shifted(dir string, flags ...string) (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	path := filepath.Join(strings.TrimSpace(string(root)), "src/time/time.go")
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	patched := string(text)
	for _, change := range []struct{ old, new string }{
		{"\nimport (\n", "\nimport (\n\tshiftatomic \"sync/atomic\"\n\tshiftcall \"syscall\"\n\tshiftunsafe \"unsafe\"\n"},
		{"\tsec, nsec, mono := runtimeNow()\n", "\tsec, nsec, mono := runtimeNow()\n\tsec, nsec = shiftWall(sec, nsec)\n"},
	} {
		if strings.Count(patched, change.old) != 1 {
			return "", fmt.Errorf("%s has not exactly one %q: this test must learn the new time.Now", path, change.old)
		}
		patched = strings.Replace(patched, change.old, change.new, 1)
	}
	name := filepath.Join(scratch, "earshot-shifted-"+filepath.Base(dir))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: name + ".time.go"}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(name+".time.go", []byte(patched+shiftText), 0o600); err != nil {
		return "", err
	}
	if err := os.WriteFile(name+".json", overlay, 0o600); err != nil {
		return "", err
	}
	args := append([]string{"build", "-overlay", name + ".json", "-o", name}, flags...)
	if out, err := exec.Command("go", append(args, dir)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s with another clock: %w\n%s", dir, err, out)
	}
	return name, nil
}

// shiftText is what package time gets.
const shiftText = `
// shift is in nanoseconds; nil for a clock that is right.
var shift = openShift()

func openShift() *int64 {
	path, ok := shiftcall.Getenv("` + clockVariable + `")
	if !ok {
		return nil
	}
	fd, err := shiftcall.Open(path, shiftcall.O_RDONLY|shiftcall.O_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	shared, err := shiftcall.Mmap(fd, 0, 8, shiftcall.PROT_READ, shiftcall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	_ = shiftcall.Close(fd)
	return (*int64)(shiftunsafe.Pointer(&shared[0]))
}

func shiftWall(sec int64, nsec int32) (int64, int32) {
	if shift == nil {
		return sec, nsec
	}
	by := shiftatomic.LoadInt64(shift)
	sec, by = sec+by/1e9, int64(nsec)+by%1e9
	switch {
	case by < 0:
		sec, by = sec-1, by+1e9
	case by >= 1e9:
		sec, by = sec+1, by-1e9
	}
	return sec, int32(by)
}
`
