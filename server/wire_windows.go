package server

import "errors"

// canTry says that a socket's write waits here: Go's sockets are asynchronous on
// Windows in a way of their own.
const canTry = false

func writeNow(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
