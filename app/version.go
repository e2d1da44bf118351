package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"earshot/audio/capture"
	"earshot/audio/opus"
)

// version is Earshot's.
const version = "0.1.0"

// commit returns the commit that this program was built from, with a + where
// the tree had other changes, too; "unknown" where it was built without git.
func commit() string {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return "unknown"
	}
	hash, changed := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			hash = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+"
		}
	}
	return hash + changed
}

func printVersion(w io.Writer) error {
	_, err := fmt.Fprintf(w, "earshot %s\ncommit %s\n%s %s/%s\n%s\nminiaudio %s\n", version, commit(),
		runtime.Version(), runtime.GOOS, runtime.GOARCH, opus.Version(), capture.Version())
	return err
}
