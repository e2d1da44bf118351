package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"earshot/server"
)

// The control socket: HTTP with JSON over a Unix socket in the data folder,
// which only this user can open.
//
//	GET  /status     → status
//	GET  /listeners  → []server.Listener
//	POST /start      → status
//	POST /stop       → status
//	POST /kick       → removed; the query has id and withdraw
//	POST /reload     → {}: key, links or withdrawals have changed

// controlTimeout bounds every call of the control socket.
const controlTimeout = 5 * time.Second

// status is what `earshot status --json` prints.
type status struct {
	Version   string     `json:"version"`
	PID       int        `json:"pid"`
	State     string     `json:"state"`             // "live", "stopped" or "trouble"
	Trouble   string     `json:"trouble,omitempty"` // what is wrong, for people
	Since     *time.Time `json:"since,omitempty"`   // live since
	Output    string     `json:"output,omitempty"`  // whose sound is captured
	Title     string     `json:"title"`
	Listeners int        `json:"listeners"`
	Listen    string     `json:"listen"` // the address that the server listens on
	URL       string     `json:"url"`    // the base of share links
	Reach     reach      `json:"reach"`  // from where they work
	// Refused is how many requests were refused since the start, by reason.
	Refused map[string]uint64 `json:"refused"`
}

// controlled is what the control socket talks to.
type controlled interface {
	status() status
	listeners() []server.Listener
	start()
	stop()
	kick(id uint64, withdraw bool) (removed, error)
	reload() error
}

// listenControl opens the control socket. The caller holds the folder's lock,
// so what lies there is nobody's.
func listenControl(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("remove old control socket: %w", err)
	}
	ln, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EINVAL) { // sockaddr_un holds about 100 bytes
		return nil, fmt.Errorf("the path of the control socket %s is too long: choose a shorter folder with --data", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("close control socket to others: %w", err), ln.Close())
	}
	return ln, nil
}

// serveControl answers on ln until ctx ends.
func serveControl(ctx context.Context, ln net.Listener, c controlled) error {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, c.status()) })
	mux.HandleFunc("GET /listeners", func(w http.ResponseWriter, _ *http.Request) { answer(w, c.listeners()) })
	mux.HandleFunc("POST /start", func(w http.ResponseWriter, _ *http.Request) { c.start(); answer(w, c.status()) })
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) { c.stop(); answer(w, c.status()) })
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
		if err := c.reload(); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		answer(w, struct{}{})
	})
	srv := &http.Server{Handler: mux, ReadTimeout: controlTimeout, WriteTimeout: controlTimeout}
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
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", path)
			},
		},
	}
	req, err := http.NewRequest(method, "http://earshot/"+what, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
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
