// Package profile serves the profiles of a running program to who works on it:
// where its processor time goes, what its memory holds, and what every goroutine
// waits for. They show functions and numbers, never sound, names or tokens; but
// taking one costs time, so nobody else may ask for them.
//
// net/http/pprof says what there is at /debug/pprof/:
//
//	go tool pprof http://127.0.0.1:6060/debug/pprof/profile?seconds=30
//	go tool pprof http://127.0.0.1:6060/debug/pprof/allocs
//	curl http://127.0.0.1:6060/debug/pprof/goroutine?debug=1
//
// With 500 listeners in all lanes, who come and go (build/bench soak), the laptop
// needs an eighth of a core. Half of that are the system calls that write to a
// connection each, which earshot/server has more of; a sixth is waiting for the
// next packet (a select for each listener and message), a twentieth each the
// deadlines of the writes and the Opus encoder, which runs once for everybody,
// and the rest the scheduler and those who join.
package profile

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"
)

// Handler answers below /debug/pprof/, and asks only of this machine: a page of
// another site that has made its name lead here (DNS rebinding) is refused.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site := r.Header.Get("Sec-Fetch-Site") // a browser's word on who asks
		if !Loopback(r.Host) || site != "" && site != "none" && site != "same-origin" {
			http.Error(w, "Profiles are for this machine alone: ask by 127.0.0.1.", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// Address is one of this machine alone, to serve profiles at.
type Address string

func (a *Address) UnmarshalText(text []byte) error {
	if !Loopback(string(text)) {
		return fmt.Errorf("%q is not of this machine alone, which profiles are for: use 127.0.0.1:PORT", text)
	}
	*a = Address(text)
	return nil
}

// Listen opens an address for Serve.
func Listen(a Address) (net.Listener, error) {
	if err := a.UnmarshalText([]byte(a)); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", string(a))
	if err != nil {
		return nil, fmt.Errorf("open %s for profiles: %w: choose another port", a, err)
	}
	return ln, nil
}

// Serve answers on ln until ctx ends.
func Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{Handler: Handler(), ReadHeaderTimeout: 5 * time.Second} // an answer may take as long as was asked for
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve profiles: %w", err)
	case <-ctx.Done():
	}
	err := srv.Close()
	<-served
	return err
}

// Loopback tells whether nobody but this machine reaches HOST:PORT.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
