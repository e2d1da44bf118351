package traytest

import (
	"bufio"
	"bytes"
	"image"
	"image/png"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Display is a private X display.
type Display struct {
	Name string // ":1"
}

// StartDisplay starts a display of its own for t, 800 pixels wide and 600 high.
func StartDisplay(t testing.TB) *Display {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "800x600x24", "-nolisten", "tcp")
	cmd.ExtraFiles = []*os.File{write}
	err = cmd.Start()
	write.Close()
	if err != nil {
		t.Fatalf("start a private X display (Debian package xvfb): %v", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	number, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb said no display: %v", err)
	}
	return &Display{Name: ":" + strings.TrimSpace(number)}
}

// Env is env with this display, and no other.
func (d *Display) Env(env []string) []string {
	return append(slices.Clip(env), "DISPLAY="+d.Name, "WAYLAND_DISPLAY=", "XAUTHORITY=")
}

// Do does with pointer and keys what xdotool does with args.
func (d *Display) Do(t testing.TB, args ...string) {
	t.Helper()
	cmd := exec.Command("xdotool", args...)
	cmd.Env = d.Env(os.Environ())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("xdotool %q (Debian package xdotool): %v %s", args, err, out)
	}
}

// Screen is what the display shows.
func (d *Display) Screen(t testing.TB) image.Image {
	t.Helper()
	cmd := exec.Command("import", "-window", "root", "png:-")
	cmd.Env = d.Env(os.Environ())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("take a picture of the display (Debian package imagemagick): %v", err)
	}
	img, err := png.Decode(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	return img
}
