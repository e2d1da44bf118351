package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

// listenControl opens the control pipe and leaves its name in the file at path.
// Names of pipes are one space for all users of the computer, so this one can't
// be guessed: nobody can have opened it before, and wait for our commands. The
// pipe lets in its user alone, and go-winio no other computer.
func listenControl(path string) (net.Listener, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, fmt.Errorf("open control pipe: who am I: %w", err)
	}
	name := `\\.\pipe\earshot-` + rand.Text()
	ln, err := winio.ListenPipe(name, &winio.PipeConfig{
		SecurityDescriptor: "D:P(A;;GA;;;" + user.User.Sid.String() + ")",
	})
	if err != nil {
		return nil, fmt.Errorf("open control pipe: %w", err)
	}
	if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("write down the control pipe's name: %w", err), ln.Close())
	}
	return ln, nil
}

// dialControl connects to the control pipe whose name is in the file at path.
func dialControl(ctx context.Context, path string) (net.Conn, error) {
	name, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return winio.DialPipeContext(ctx, string(name))
}

// nobodyAnswers tells whether err, of dialControl, says that no Earshot runs:
// there is no file or, with the Earshot that wrote it gone, no pipe.
func nobodyAnswers(err error) bool { return errors.Is(err, fs.ErrNotExist) }
