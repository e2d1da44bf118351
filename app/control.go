package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"earshot/server"
)

// The control socket: HTTP with JSON over what listenControl opens and only
// this user can: a Unix socket in the data folder, on Windows a named pipe.
//
//	GET  /status     → status
//	GET  /listeners  → []server.Listener
//	POST /start      → status
//	POST /stop       → status
//	POST /quit       → {}, and then the app ends
//	POST /kick       → removed; the query has id and withdraw
//	POST /reload     → reloaded: key, links, withdrawals or relays have changed

// controlTimeout bounds every call of the control socket.
const controlTimeout = 5 * time.Second

// status is what `earshot status --json` prints.
type status struct {
	Version   string        `json:"version"`
	PID       int           `json:"pid"`
	State     string        `json:"state"`             // "live", "stopped" or "trouble"
	Trouble   string        `json:"trouble,omitempty"` // what is wrong, for people
	Since     *time.Time    `json:"since,omitempty"`   // live since
	Output    string        `json:"output,omitempty"`  // whose sound is captured
	Note      string        `json:"note,omitempty"`    // why it is silent though live and well
	Muted     bool          `json:"muted,omitempty"`   // that output is muted here, as was asked for
	Title     string        `json:"title"`
	Listeners int           `json:"listeners"`
	Listen    string        `json:"listen"` // the address that the server listens on
	URL       string        `json:"url"`    // the base of share links
	Reach     reach         `json:"reach"`  // from where they work
	Relays    []relayStatus `json:"relays"`
	// Refused is how many requests were refused since the start, by reason.
	Refused map[string]uint64 `json:"refused"`
}

// reloaded is what came of a reload.
type reloaded struct {
	Late []string `json:"late,omitempty"` // relays that have not heard yet of what is withdrawn
}

// controlled is what the control socket talks to.
type controlled interface {
	status() status
	listeners() []server.Listener
	start()
	stop()
	quit()
	kick(id uint64, withdraw bool) (removed, error)
	reload() (reloaded, error)
}

// seldom hands on to a log what a server says of its trouble, such as that it can
// take no connection, once a second at most.
type seldom struct {
	log  *slog.Logger
	some rate.Sometimes
}

func (s *seldom) Write(text []byte) (int, error) {
	s.some.Do(func() { s.log.Warn("trouble with the control socket", "err", strings.TrimSpace(string(text))) })
	return len(text), nil
}

// serveControl answers on ln until ctx ends.
func serveControl(ctx context.Context, ln net.Listener, c controlled, to *slog.Logger) error {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, c.status()) })
	mux.HandleFunc("GET /listeners", func(w http.ResponseWriter, _ *http.Request) { answer(w, c.listeners()) })
	mux.HandleFunc("POST /start", func(w http.ResponseWriter, _ *http.Request) { c.start(); answer(w, c.status()) })
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) { c.stop(); answer(w, c.status()) })
	mux.HandleFunc("POST /quit", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{})
		_ = http.NewResponseController(w).Flush() // the end of ctx cuts connections off
		c.quit()
	})
	mux.HandleFunc("POST /kick", func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.ParseUint(r.FormValue("id"), 10, 64) // 0 is nobody's
		gone, err := c.kick(id, r.FormValue("withdraw") == "true")
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		answer(w, gone)
	})
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, _ *http.Request) {
		done, err := c.reload()
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		answer(w, done)
	})
	srv := &http.Server{
		Handler:      mux,
		ReadTimeout:  controlTimeout,
		WriteTimeout: controlTimeout,
		ErrorLog:     log.New(&seldom{to, rate.Sometimes{Interval: time.Second}}, "", 0),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve control socket: %w", err)
	case <-ctx.Done():
	}
	err := srv.Close()
	<-served
	return err
}

// errNotRunning says that no Earshot answers at the control socket.
var errNotRunning = errors.New("earshot is not running")

// call makes one request of the control socket and decodes the answer into v.
// The error wraps errNotRunning where nobody listens there.
func call(path, method, what string, v any) error {
	client := &http.Client{
		Timeout: controlTimeout,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dialControl(ctx, path) },
		},
	}
	req, err := http.NewRequest(method, "http://earshot/"+what, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil && nobodyAnswers(err) {
		return fmt.Errorf("%w (nobody answers at %s): start it with earshot, or name its folder with --data", errNotRunning, path)
	}
	if err != nil {
		return fmt.Errorf("call the running earshot: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		if resp.StatusCode == http.StatusConflict { // what it says is for people
			return errors.New(strings.TrimSpace(string(text)))
		}
		return fmt.Errorf("call the running earshot: %s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		return fmt.Errorf("read the running earshot's answer: %w", err)
	}
	return nil
}
