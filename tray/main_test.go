package tray

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asProgram in the environment makes the test binary a tray program: it takes
// each line of standard input for a State and prints what the tray asks for.
// The library has one tray a process, and races with itself once it is read,
// so the tests watch it from another process.
const asProgram = "EARSHOT_TEST_TRAY"

func TestMain(m *testing.M) {
	switch os.Getenv(asProgram) {
	case "run":
		program()
	default:
		goleak.VerifyTestMain(m)
	}
}

func program() {
	ctx, cancel := context.WithCancel(context.Background())
	states := make(chan State, 1)
	go func() {
		defer cancel()
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			var s State
			if err := json.Unmarshal(in.Bytes(), &s); err != nil {
				panic(err)
			}
			states <- s
		}
	}()
	err := Run(ctx, Config{
		Title:  "Earshot",
		States: states,
		Do:     func(a Action) { fmt.Println(strings.TrimSpace(fmt.Sprint("do ", a, " ", a.Listener, " ", a.Name))) },
		NoHost: func(advice string) { fmt.Println("advice", advice) },
		Now:    time.Now,
		Log:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	switch {
	case errors.Is(err, ErrNoSession):
		fmt.Println("no session")
	case errors.Is(err, ErrSessionEnded):
		fmt.Println("session ended")
	default:
		fmt.Println("ended", err)
	}
}
