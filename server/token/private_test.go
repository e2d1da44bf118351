package token

import (
	"io/fs"
	"runtime"
)

// private tells whether mode keeps a file from other users. On Windows, where
// access lists do, it says nothing.
func private(mode fs.FileMode) bool { return runtime.GOOS == "windows" || mode.Perm() == 0o600 }
