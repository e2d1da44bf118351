package token

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// renameLimit is how long rename tries.
const renameLimit = 2 * time.Second

// rename gives the file from the name to, in place of what has it. Windows
// refuses that while somebody reads what has it, another Earshot or a virus
// scanner: they are through soon.
func rename(from, to string) error {
	for end := time.Now().Add(renameLimit); ; time.Sleep(10 * time.Millisecond) {
		err := os.Rename(from, to)
		busy := errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
		if !busy || time.Now().After(end) {
			return err
		}
	}
}
