package server

// Number returns an ID that no listener of the Hub has or will have, for one who
// listens elsewhere and stands in the same list.
func (h *Hub) Number() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastID++
	return h.lastID
}
