package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"earshot/assets/icons"
	"earshot/tray"
)

// notifyLimit bounds how long a notification holds up who sends it.
const notifyLimit = 3 * time.Second

// notifier shows notifications on the desktop (Desktop Notifications
// Specification 1.2). The zero notifier is ready; any goroutine may use it.
//
// It keeps a connection to the session bus to itself: GNOME takes a
// notification back when its sender leaves the bus, and the tray library stops
// following its panel when it sees other signals on the connection it uses.
type notifier struct {
	mu   sync.Mutex
	conn *dbus.Conn
}

// notify shows title and, smaller, text; both are plain. It takes notifyLimit
// at most. Where there is no desktop or nothing in it that shows notifications
// it returns an error.
func (n *notifier) notify(ctx context.Context, title, text string) error {
	ctx, cancel := context.WithTimeout(ctx, notifyLimit)
	defer cancel()
	conn, err := n.connection(ctx)
	if err != nil {
		return fmt.Errorf("show notification: %w", err)
	}
	picture, err := imageData(icons.Live)
	if err != nil {
		return fmt.Errorf("show notification: %w", err)
	}
	body := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text) // it is markup
	hints := map[string]dbus.Variant{
		"image-data": dbus.MakeVariant(picture),
		// By which the desktop keeps what the user has set for Earshot's.
		"desktop-entry": dbus.MakeVariant("earshot"),
		// A chime would be captured, and every listener would hear it.
		"suppress-sound": dbus.MakeVariant(true),
	}
	call := conn.Object("org.freedesktop.Notifications", "/org/freedesktop/Notifications").
		CallWithContext(ctx, "org.freedesktop.Notifications.Notify", 0,
			"Earshot", uint32(0), "", title, body, []string{}, hints, int32(-1))
	if call.Err != nil {
		return fmt.Errorf("show notification: %w", call.Err)
	}
	return nil
}

// connection returns the connection, made anew, until ctx ends, where there is
// none any more.
func (n *notifier) connection(ctx context.Context) (*dbus.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn != nil && n.conn.Connected() {
		return n.conn, nil
	}
	life, cancel := context.WithCancel(context.Background())
	defer context.AfterFunc(ctx, cancel)()
	conn, err := tray.SessionBus(life)
	if err != nil {
		cancel()
		return nil, err
	}
	n.conn = conn
	return conn, nil
}

// close gives the connection back.
func (n *notifier) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn != nil {
		_ = n.conn.Close()
	}
}

// pixels is a picture as notifications carry it.
type pixels struct {
	Width, Height, Stride int32
	Alpha                 bool
	Bits, Channels        int32
	Data                  []byte
}

func imageData(file []byte) (pixels, error) {
	decoded, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		return pixels{}, err
	}
	img := image.NewNRGBA(decoded.Bounds())
	draw.Draw(img, img.Rect, decoded, decoded.Bounds().Min, draw.Src)
	return pixels{int32(img.Rect.Dx()), int32(img.Rect.Dy()), int32(img.Stride), true, 8, 4, img.Pix}, nil
}
