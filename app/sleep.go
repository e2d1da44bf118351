package main

// sleep takes the stream over a sleep of the computer. Before it, listeners are
// told that the laptop is away. After it, those whose links have ended meanwhile
// are gone at once, relays are connected to anew, the sound device is opened
// anew, and nothing is sent that was captured before.
func (a *app) sleep(asleep bool) {
	if asleep {
		a.log.Info("this computer goes to sleep")
		a.engine.sleep(true)
		return
	}
	a.log.Info("this computer is awake again")
	a.relays.wake()
	a.endWithdrawn()
	a.engine.sleep(false)
}
