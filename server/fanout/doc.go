// Package fanout measures what it costs to send sound to many listeners, beside
// a bare loop of write calls and other programs' servers. build/bench fanout runs
// it.
package fanout
