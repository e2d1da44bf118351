//go:build unix

package token

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// With these in the environment this program is no test, but the program whose
// end is tested: it does what childDoes says to the files in childIn.
const (
	childDoes  = "EARSHOT_TEST_CHILD_DOES"
	childIn    = "EARSHOT_TEST_CHILD_IN"
	childDies  = "EARSHOT_TEST_CHILD_DIES"  // at this step, counted from 1; 0 is never
	childLimit = "EARSHOT_TEST_CHILD_LIMIT" // bytes that a file may have; 0 is any number
)

func TestMain(m *testing.M) {
	if does := os.Getenv(childDoes); does != "" {
		if err := child(does); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func child(does string) error {
	dir := os.Getenv(childIn)
	dies, diesErr := strconv.Atoi(os.Getenv(childDies))
	limit, limitErr := strconv.ParseUint(os.Getenv(childLimit), 10, 64)
	path := filepath.Join(dir, "key.pem")
	key, keyErr := OpenKey(path)
	s, err := OpenStore(filepath.Join(dir, "links.json"), func() time.Time { return now })
	if err := errors.Join(diesErr, limitErr, keyErr, err); err != nil {
		return err
	}
	s.step = func(string) {
		if dies--; dies == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	if limit > 0 {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			return err
		}
	}
	switch does {
	case "issue":
		raw, _, err := s.Issue(key, Grant{Audience: AudienceDesktop, Scope: ScopeListen, Name: "Eve", For: time.Hour})
		if err != nil && raw != "" {
			return errors.New("a token that was not recorded")
		}
		return err
	case "withdraw":
		return s.Withdraw(s.Links()[0].ID)
	case "withdraw all":
		return s.WithdrawAll()
	case "rotate":
		_, err := s.Rotate(path, now.Add(time.Hour))
		return err
	}
	return errors.New("no such thing to do")
}

// run runs a child and returns how it ended, and what it printed.
func (d *desk) run(does string, dies int, limit int64) (string, *os.ProcessState) {
	d.t.Helper()
	program, err := os.Executable()
	d.must(err)
	cmd := exec.CommandContext(d.t.Context(), program, "-test.run=^$")
	cmd.Env = append(os.Environ(), childDoes+"="+does, childIn+"="+filepath.Dir(d.path),
		childDies+"="+strconv.Itoa(dies), childLimit+"="+strconv.FormatInt(limit, 10))
	out, err := cmd.CombinedOutput()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		d.t.Fatal(err)
	}
	return string(out), cmd.ProcessState
}

// crashDesk is a desk with a withdrawn link of Bob's and a good one of Ann's.
func crashDesk(t *testing.T) (d *desk, ann, bob string) {
	d = newDesk(t)
	bob, l := d.issue("Bob", time.Hour)
	d.must(d.Withdraw(l.ID, "blog:x"))
	ann, _ = d.issue("Ann", time.Hour)
	return d, ann, bob
}

// after opens what a child has left, and checks that nothing is lost.
func (d *desk) after(bob string) {
	d.t.Helper()
	var err error
	d.key, err = OpenKey(d.path)
	d.must(err)
	d.Store = d.open()
	if !d.Revoked(Claims{ID: "blog:x", Issued: now.Add(time.Minute)}) {
		d.t.Error("another program's withdrawn token lives again")
	}
	d.check(bob, Withdrawn)
}

func TestKilledAtEveryStep(t *testing.T) {
	const renamed = 5 // the step after the rename
	for _, tt := range []struct {
		does  string
		steps int
		links string // afterwards
		ann   Reason
	}{
		{"issue", 6, "Eve Ann -Bob", ""},
		{"withdraw", 6, "-Ann -Bob", Withdrawn},
		{"withdraw all", 6, "", Withdrawn},
		{"rotate", 12, "Ann -Bob", ""},
	} {
		t.Run(tt.does, func(t *testing.T) {
			for step := 1; ; step++ {
				d, ann, bob := crashDesk(t)
				old := d.key.ID()
				out, state := d.run(tt.does, step, 0)
				if state.Success() {
					if step != tt.steps+1 {
						t.Errorf("it has %d steps, want %d", step-1, tt.steps)
					}
					break
				}
				if !state.Sys().(syscall.WaitStatus).Signaled() {
					t.Fatalf("step %d: %v: %s", step, state, out)
				}
				d.after(bob)
				links, want := "Ann -Bob", Reason("")
				if step >= renamed {
					links, want = tt.links, tt.ann
				}
				if got := names(d.Links()); got != links {
					t.Errorf("step %d: links %q, want %q", step, got, links)
				}
				d.check(ann, want)
				if tt.does == "rotate" {
					if new := d.key.ID() != old; new != (step >= 6+renamed) {
						t.Errorf("step %d: there is a new key: %v", step, new)
					}
				}
				// And it goes on.
				raw, _ := d.issue("Kim", time.Hour)
				d.check(raw, "")
				_, err := d.Rotate(d.path, now.Add(time.Hour))
				d.must(err)
				d.after(bob)
				d.check(raw, "")
				if files, _ := os.ReadDir(filepath.Dir(d.path)); len(files) != 3 {
					t.Errorf("step %d: files %v, want the key, the list and its lock", step, files)
				}
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	for _, does := range []string{"issue", "withdraw", "withdraw all", "rotate"} {
		t.Run(does, func(t *testing.T) {
			d, ann, bob := crashDesk(t)
			before, err := os.ReadFile(d.Store.path)
			d.must(err)
			for _, limit := range []int64{1, 64} {
				out, state := d.run(does, 0, limit)
				if state.ExitCode() != 1 || !strings.Contains(out, "write list of links: ") || !strings.Contains(out, syscall.EFBIG.Error()) {
					t.Errorf("%v: %s", state, out)
				}
				if after, err := os.ReadFile(d.Store.path); err != nil || string(after) != string(before) {
					t.Errorf("the file was changed: %s", after)
				}
				d.after(bob)
				d.check(ann, "")
				if files, _ := os.ReadDir(filepath.Dir(d.path)); len(files) != 3 {
					t.Errorf("files %v, want the key, the list and its lock", files)
				}
			}
		})
	}
}

// The list of links was written, and the key can't be: the old one stays in use,
// and good without end.
func TestRotateWithoutTheKey(t *testing.T) {
	d := newDesk(t)
	raw, _ := d.issue("Ann", 2*time.Hour)
	old := d.key.ID()
	d.must(os.Mkdir(d.path+".new", 0o700)) // in the way of the new key
	d.must(os.WriteFile(filepath.Join(d.path+".new", "x"), nil, 0o600))
	if key, err := d.Rotate(d.path, now.Add(time.Hour)); err == nil || key != nil || !strings.Contains(err.Error(), "write key file") {
		t.Errorf("key %v, error %v", key, err)
	}
	var err error
	d.key, err = OpenKey(d.path)
	d.must(err)
	if d.key.ID() != old || len(d.Retired()) != 1 {
		t.Errorf("not as it was, with the old key retired: %d retired", len(d.Retired()))
	}
	d.at = now.Add(90 * time.Minute)
	d.check(raw, "")

	d.must(os.RemoveAll(d.path + ".new"))
	d.at = now
	d.key, err = d.Rotate(d.path, now.Add(2*time.Hour))
	d.must(err)
	if keys := d.Retired(); len(keys) != 1 || keys[0].ID != old || !keys[0].Until.Equal(now.Add(2*time.Hour)) {
		t.Errorf("retired keys %+v", keys)
	}
}
