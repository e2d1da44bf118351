package traytest

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	itemPath  = "/StatusNotifierItem"
	itemFace  = "org.kde.StatusNotifierItem"
	menuFace  = "com.canonical.dbusmenu"
	apart     = 500 * time.Millisecond // two clicks closer than this are a double-click
	callLimit = 5 * time.Second
)

// Item is a program's icon in a Tray.
type Item struct {
	t       testing.TB
	conn    *dbus.Conn
	pid     int
	sender  string
	clicked time.Time
}

// Line is a line of a menu.
type Line struct {
	Label   string // as the user reads it
	Off     bool   // can't be clicked
	Checked bool
	Lines   []Line // of its submenu

	id int32
}

// Click clicks the icon once, with time enough after the last click that it is
// no double-click.
func (i *Item) Click() {
	i.t.Helper()
	time.Sleep(time.Until(i.clicked.Add(apart)))
	i.clicked = time.Now()
	i.Activate()
}

// Activate clicks the icon at once.
func (i *Item) Activate() {
	i.t.Helper()
	if err := i.call(itemPath, itemFace+".Activate", int32(0), int32(0)).Err; err != nil {
		i.t.Fatalf("click the tray icon: %v", err)
	}
}

// Title is the name that the desktop knows the icon by.
func (i *Item) Title() string { return property[string](i, "Title") }

// Tooltip is the text beside the pointer over the icon.
func (i *Item) Tooltip() string {
	tip := property[struct {
		Name  string
		Icons []pixmap
		Title string
		Text  string
	}](i, "ToolTip")
	return strings.TrimSpace(tip.Title + "\n" + tip.Text)
}

// pixmap is a picture as the bus has it: ARGB, one byte each.
type pixmap struct {
	Width, Height int32
	Pixels        []byte
}

// Icon is the picture.
func (i *Item) Icon() *image.NRGBA {
	i.t.Helper()
	all := property[[]pixmap](i, "IconPixmap")
	if len(all) != 1 || len(all[0].Pixels) != int(4*all[0].Width*all[0].Height) {
		i.t.Fatalf("the icon has %d pictures, or a broken one", len(all))
	}
	p := all[0]
	img := image.NewNRGBA(image.Rect(0, 0, int(p.Width), int(p.Height)))
	for n := range len(p.Pixels) / 4 {
		argb := p.Pixels[4*n:]
		img.SetNRGBA(n%int(p.Width), n/int(p.Width), color.NRGBA{A: argb[0], R: argb[1], G: argb[2], B: argb[3]})
	}
	return img
}

// IsMenu tells whether a click on the icon is said to open the menu only.
func (i *Item) IsMenu() bool { return property[bool](i, "ItemIsMenu") }

// Menu is the menu behind the icon, hidden lines and separators left out.
func (i *Item) Menu() []Line {
	i.t.Helper()
	path := property[dbus.ObjectPath](i, "Menu")
	type node struct {
		ID         int32
		Properties map[string]dbus.Variant
		Children   []dbus.Variant
	}
	var root node
	// The first answer of the library lacks what is in submenus.
	for range 2 {
		var revision uint32
		if err := i.call(path, menuFace+".GetLayout", int32(0), int32(-1), []string{}).Store(&revision, &root); err != nil {
			i.t.Fatalf("read the tray menu: %v", err)
		}
	}
	var read func(children []dbus.Variant) []Line
	read = func(children []dbus.Variant) []Line {
		var lines []Line
		for _, c := range children {
			var n node
			if err := dbus.Store([]any{c.Value()}, &n); err != nil {
				i.t.Fatalf("read a line of the tray menu: %v", err)
			}
			if visible, ok := n.Properties["visible"].Value().(bool); ok && !visible {
				continue
			}
			if kind, _ := n.Properties["type"].Value().(string); kind == "separator" {
				continue
			}
			label, _ := n.Properties["label"].Value().(string)
			enabled, ok := n.Properties["enabled"].Value().(bool)
			state, _ := n.Properties["toggle-state"].Value().(int32)
			lines = append(lines, Line{Label: plain(label), Off: ok && !enabled, Checked: state == 1, Lines: read(n.Children), id: n.ID})
		}
		return lines
	}
	return read(root.Children)
}

// plain is a menu label as the user reads it: "_" marks a key and "__" is "_".
func plain(label string) string {
	const two = "\x00"
	label = strings.ReplaceAll(label, "__", two)
	label = strings.ReplaceAll(label, "_", "")
	return strings.ReplaceAll(label, two, "_")
}

// Labels are the labels of lines, for comparing.
func Labels(lines []Line) []string {
	var labels []string
	for _, l := range lines {
		labels = append(labels, l.Label)
	}
	return labels
}

// Find is the line of the menu with that label, if it has one.
func (i *Item) Find(label string) (Line, bool) {
	i.t.Helper()
	lines := i.Menu()
	n := slices.IndexFunc(lines, func(l Line) bool { return l.Label == label })
	if n < 0 {
		return Line{}, false
	}
	return lines[n], true
}

// Choose clicks the line of the menu with that label, as soon as there is one
// that can be clicked; several labels lead through submenus.
func (i *Item) Choose(labels ...string) {
	i.t.Helper()
	var line Line
	i.WaitMenu(fmt.Sprintf("a line %q to click", labels), func(lines []Line) bool {
		for _, label := range labels {
			n := slices.IndexFunc(lines, func(l Line) bool { return l.Label == label && !l.Off })
			if n < 0 {
				return false
			}
			line, lines = lines[n], lines[n].Lines
		}
		return true
	})
	path := property[dbus.ObjectPath](i, "Menu")
	if err := i.call(path, menuFace+".Event", line.id, "clicked", dbus.MakeVariant(int32(0)), uint32(0)).Err; err != nil {
		i.t.Fatalf("click %q in the tray menu: %v", labels, err)
	}
}

// WaitMenu waits until the menu is as ok wants it. what says what that is.
func (i *Item) WaitMenu(what string, ok func([]Line) bool) {
	i.t.Helper()
	var last []Line
	end := time.Now().Add(deadline)
	for {
		if last = i.Menu(); ok(last) {
			return
		}
		if time.Now().After(end) {
			i.t.Fatalf("waited %v for %s in the tray menu, which is %q", deadline, what, Labels(last))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// WaitStatus waits until the menu's first line, the status, is status.
func (i *Item) WaitStatus(status string) {
	i.t.Helper()
	i.WaitMenu(fmt.Sprintf("the status %q", status), func(lines []Line) bool {
		return len(lines) > 0 && lines[0].Label == status
	})
}

// property reads a property of the icon.
func property[T any](i *Item, name string) T {
	i.t.Helper()
	var v T
	if err := i.call(itemPath, "org.freedesktop.DBus.Properties.Get", itemFace, name).Store(&v); err != nil {
		i.t.Fatalf("read %s of the tray icon: %v", name, err)
	}
	return v
}

// call calls a method of the icon's program.
func (i *Item) call(path dbus.ObjectPath, method string, args ...any) *dbus.Call {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	return i.conn.Object(i.sender, path).CallWithContext(ctx, method, 0, args...)
}
