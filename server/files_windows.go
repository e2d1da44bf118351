package server

import "math"

// fileLimit is how many sockets this program may have: memory alone bounds them.
func fileLimit() int { return math.MaxInt32 }
