package relay

import (
	"testing"

	"go.uber.org/goleak"

	"earshot/server/relay/relaytest"
)

func TestMain(m *testing.M) {
	if relaytest.Serve() {
		return
	}
	goleak.VerifyTestMain(m)
}
