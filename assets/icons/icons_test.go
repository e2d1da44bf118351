package icons

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"os/exec"
	"testing"
)

// all are the pictures by the names of their files.
func all(t *testing.T) map[string]image.Image {
	t.Helper()
	images := map[string]image.Image{}
	for name, data := range map[string][]byte{"idle": Idle, "live": Live, "listening": Listening, "trouble": Trouble} {
		img, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		images[name] = img
	}
	return images
}

func TestPixelsAreOpaqueOrAbsent(t *testing.T) {
	for name, img := range all(t) {
		if img.Bounds() != image.Rect(0, 0, 64, 64) {
			t.Errorf("%s is %v", name, img.Bounds())
		}
		for y := range 64 {
			for x := range 64 {
				if _, _, _, a := img.At(x, y).RGBA(); a != 0 && a != 0xffff {
					t.Fatalf("%s has a half-transparent pixel at %d,%d", name, x, y)
				}
			}
		}
	}
}

// outline is how much of each of 16×16 squares the picture covers: all that is
// left of it for somebody who sees no colours, on the smallest of panels.
func outline(img image.Image) (cover [16 * 16]float64) {
	for y := range 64 {
		for x := range 64 {
			if _, _, _, a := img.At(x, y).RGBA(); a != 0 {
				cover[y/4*16+x/4] += 1. / 16
			}
		}
	}
	return cover
}

func TestOutlinesDifferAt16Pixels(t *testing.T) {
	images := all(t)
	for a, first := range images {
		for b, second := range images {
			if a >= b {
				continue
			}
			var sum float64
			one, two := outline(first), outline(second)
			for i := range one {
				sum += math.Abs(one[i] - two[i])
			}
			if share := sum / (16 * 16); share < 0.15 {
				t.Errorf("outlines of %s and %s differ by %.0f %% of the square only", a, b, 100*share)
			}
		}
	}
}

// luminance is WCAG 2.2's relative luminance.
func luminance(c color.Color) float64 {
	linear := func(v uint8) float64 {
		f := float64(v) / 255
		if f <= 0.04045 {
			return f / 12.92
		}
		return math.Pow((f+0.055)/1.055, 2.4)
	}
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	return 0.2126*linear(n.R) + 0.7152*linear(n.G) + 0.0722*linear(n.B)
}

func TestContrastOnLightAndDarkPanels(t *testing.T) {
	for name, img := range all(t) {
		var icon color.Color
		for i := range 64 * 64 {
			if _, _, _, a := img.At(i%64, i/64).RGBA(); a != 0 {
				icon = img.At(i%64, i/64)
			}
		}
		for panel, shade := range map[string]uint8{"light": 0xf5, "dark": 0x30} {
			a, b := luminance(icon)+0.05, luminance(color.Gray{shade})+0.05
			if contrast := max(a, b) / min(a, b); contrast < 2.5 {
				t.Errorf("%s on a %s panel has a contrast of %.1f only", name, panel, contrast)
			}
		}
	}
}

func TestPicturesAreOfTheDrawings(t *testing.T) {
	for name, img := range all(t) {
		cmd := exec.Command("rsvg-convert", "--width", "64", "--height", "64", name+".svg")
		cmd.Stderr = os.Stderr
		data, err := cmd.Output()
		if err != nil {
			t.Fatalf("render %s.svg (Debian package librsvg2-bin): %v", name, err)
		}
		drawn, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		off := 0
		for i := range 64 * 64 {
			if img.At(i%64, i/64) != drawn.At(i%64, i/64) {
				off++
			}
		}
		// Another librsvg may put an edge one pixel further.
		if off > 64 {
			t.Errorf("%s.png is not of %s.svg, %d pixels differ: run build/icons", name, name, off)
		}
	}
}
