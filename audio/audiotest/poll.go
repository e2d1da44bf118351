package audiotest

import (
	"testing"
	"time"
)

// patience is how long anything here may take before the test fails.
const patience = 15 * time.Second

// Poll asks ok every 20 ms until it is true; when it isn't within some seconds
// the test fails with what.
func Poll(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited %v: %s", patience, what)
		}
	}
}
