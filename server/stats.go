package server

// StreamStats are figures of a stream, for metrics. The counts are since the
// start.
type StreamStats struct {
	Name      string
	Listeners int
	Sent      Totals
	Publisher bool // somebody publishes here
	// Of the sound that has come, from whichever relay: bytes of it, and how
	// often packets were missing in it.
	BytesIn, Gaps uint64
	Late          uint64 // messages that came too late from who publishes here, and were dropped
}

// Stats returns figures of each stream that has a publisher elsewhere.
func (s *Server) Stats() []StreamStats {
	var all []StreamStats
	for _, one := range s.streams {
		b := one.config.Broadcast
		if b == nil {
			continue
		}
		one.mu.Lock()
		publishers := len(one.publishers)
		one.mu.Unlock()
		all = append(all, StreamStats{
			Name:      one.config.Name,
			Listeners: int(one.hub.count.Load()),
			Sent:      one.hub.Totals(),
			Publisher: publishers > 0,
			BytesIn:   b.bytes.Load(),
			Gaps:      b.gaps.Load(),
			Late:      b.late.Load(),
		})
	}
	return all
}
