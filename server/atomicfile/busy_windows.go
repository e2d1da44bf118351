package atomicfile

import (
	"errors"
	"time"

	"golang.org/x/sys/windows"
)

// busyLimit is how long patiently tries.
const busyLimit = 2 * time.Second

// patiently does what Windows refuses while somebody else has the file open,
// another Earshot or a virus scanner: they are through soon.
func patiently(do func() error) error {
	for end := time.Now().Add(busyLimit); ; time.Sleep(10 * time.Millisecond) {
		err := do()
		busy := errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
		if !busy || time.Now().After(end) {
			return err
		}
	}
}
