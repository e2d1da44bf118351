package server

// Number returns an ID that no listener of the Hub has or will have, for one who
// listens elsewhere and stands in the same list.
func (h *Hub) Number() uint64 {
	return h.lastID.Add(1)
}
