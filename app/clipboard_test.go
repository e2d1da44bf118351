//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"earshot/tray/traytest"
)

// copyThis in the environment makes the test binary copy its value and end: the
// clipboard library looks for its tools when a program starts, so a test that
// has other tools needs another program.
const copyThis = "EARSHOT_TEST_COPY"

func init() {
	text, set := os.LookupEnv(copyThis)
	if !set {
		return
	}
	err := copyText(text)
	var none *noClipboardError
	if errors.As(err, &none) {
		fmt.Println("no tool:", err)
	} else {
		fmt.Println(err)
	}
	os.Exit(0)
}

// copied runs copyText(text) in a program with env, and returns what it said.
func copied(t *testing.T, text string, env []string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(env, copyThis+"="+text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestCopyOutlivesTheProgram(t *testing.T) {
	display := traytest.StartDisplay(t)
	const link = "http://192.0.2.1:3277/#a.b-c_d"
	if said := copied(t, link, display.Env(os.Environ())); said != "<nil>" {
		t.Fatalf("copy: %s", said)
	}
	paste := exec.Command("xclip", "-out", "-selection", "clipboard")
	paste.Env = display.Env(os.Environ())
	got, err := paste.Output()
	if err != nil {
		t.Fatalf("paste (Debian package xclip): %v", err)
	}
	if string(got) != link {
		t.Errorf("the clipboard has %q", got)
	}
}

func TestCopyWithoutATool(t *testing.T) {
	for session, want := range map[string]string{"": "install xclip", "wayland-0": "install wl-clipboard"} {
		env := append(os.Environ(), "PATH="+t.TempDir(), "WAYLAND_DISPLAY="+session)
		if said := copied(t, "text", env); !strings.HasPrefix(said, "no tool: ") || !strings.HasSuffix(said, want) {
			t.Errorf("with WAYLAND_DISPLAY=%q: %q, want %q", session, said, want)
		}
	}
}

func TestCopyWithoutADisplay(t *testing.T) {
	env := append(os.Environ(), "DISPLAY=", "WAYLAND_DISPLAY=")
	if said := copied(t, "text", env); !strings.HasPrefix(said, "copy to the clipboard: ") {
		t.Errorf("without a display: %q", said)
	}
}
