//go:build linux

package main

import (
	"fmt"
	"math"
	"strings"
)

// curve is a line of a plot.
type curve struct {
	name, color string
	of          func(sample) float64
}

// plot draws the samples as SVG: memory, goroutines, drops and latency over
// time, with a mark wherever the relay restarted.
func (r *soak) plot() string {
	const (
		width, height = 860.0, 150.0 // of a panel
		left, gap     = 60.0, 46.0
		blue, orange  = "#2563eb", "#ea580c"
	)
	of := func(name string, value func(has) float64) func(sample) float64 {
		return func(s sample) float64 { return value(s.Has[name]) }
	}
	memory := func(h has) float64 { return h.Resident }
	goroutines := func(h has) float64 { return float64(h.Goroutines) }
	descriptors := func(h has) float64 { return float64(h.Descriptors) }
	panels := []struct {
		title  string
		curves []curve
	}{
		{"Memory, MB", []curve{{laptop, blue, of(laptop, memory)}, {relaying, orange, of(relaying, memory)}}},
		{"Goroutines", []curve{{laptop, blue, of(laptop, goroutines)}, {relaying, orange, of(relaying, goroutines)}}},
		{"Descriptors", []curve{{laptop, blue, of(laptop, descriptors)}, {relaying, orange, of(relaying, descriptors)}}},
		{"Listeners", []curve{{"here", blue, func(s sample) float64 { return float64(s.Listeners) }}}},
		{"Drops: packets missed until then", []curve{{"by anybody", blue, func(s sample) float64 { return float64(s.Missed) }}}},
		{"Latency from capture to listener, ms", []curve{
			{"median", blue, func(s sample) float64 { return s.Latency.Median }},
			{"p99", orange, func(s sample) float64 { return s.Latency.P99 }},
		}},
	}
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" font-family="sans-serif" font-size="12">`+"\n",
		left+width+20, float64(len(panels))*(height+gap)+30)
	svg.WriteString(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	x := func(at float64) float64 { return left + width*at/r.Seconds }
	for i, p := range panels {
		top := 30 + float64(i)*(height+gap)
		most := 0.0
		for _, c := range p.curves {
			for _, s := range r.Samples {
				most = max(most, c.of(s))
			}
		}
		most = ceiling(most)
		y := func(v float64) float64 { return top + height*(1-v/most) }
		fmt.Fprintf(&svg, `<text x="%.0f" y="%.0f" font-weight="bold">%s</text>`+"\n", left, top-8, p.title)
		for n := range 5 {
			v := most * float64(n) / 4
			fmt.Fprintf(&svg, `<path d="M%.1f %.1fH%.1f" stroke="#ddd"/><text x="%.0f" y="%.1f" text-anchor="end">%.4g</text>`+"\n",
				left, y(v), left+width, left-6, y(v)+4, v)
		}
		for _, d := range r.stirs {
			if d.what == relayRestarts {
				at := x(d.from.Sub(r.began).Seconds())
				fmt.Fprintf(&svg, `<path d="M%.1f %.1fV%.1f" stroke="#bbb" stroke-dasharray="2 3"/>`+"\n", at, top, top+height)
			}
		}
		for j, c := range p.curves {
			var d strings.Builder
			for k, s := range r.Samples {
				to := "L"
				if k == 0 {
					to = "M"
				}
				fmt.Fprintf(&d, "%s%.1f %.1f", to, x(s.At), y(c.of(s)))
			}
			fmt.Fprintf(&svg, `<path d="%s" fill="none" stroke="%s" stroke-width="1.5"/><text x="%.0f" y="%.0f" fill="%s" text-anchor="end">%s</text>`+"\n",
				d.String(), c.color, left+width-float64(j)*110, top-8, c.color, c.name)
		}
	}
	bottom := float64(len(panels))*(height+gap) + 6
	for n := range 6 {
		at := r.Seconds * float64(n) / 5
		fmt.Fprintf(&svg, `<text x="%.0f" y="%.0f" text-anchor="middle">%.4g s</text>`+"\n", x(at), bottom, at)
	}
	svg.WriteString("</svg>\n")
	return svg.String()
}

// ceiling is a round number that is no less than x.
func ceiling(x float64) float64 {
	if x <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(x)))
	for _, n := range []float64{1, 2, 4, 8} {
		if x <= n*unit {
			return n * unit
		}
	}
	return 10 * unit
}
