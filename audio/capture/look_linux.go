package capture

import (
	"context"
	"strings"
)

// ServerName returns what sound server answers, and its version: "pulseaudio
// 16.1", "PulseAudio (on PipeWire 1.4.2) 15.0.0"; "" where none does.
func ServerName(ctx context.Context) string {
	s, err := dial(ctx)
	if err != nil {
		return ""
	}
	defer s.close()
	info, err := s.request(commandServerInfo, nil)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(info.text(0) + " " + info.text(1))
}
