// Package audiotest lets tests work with real sound: private PulseAudio and
// PipeWire servers that need no sound card and touch none, programs that play
// into their sinks and record from them, and measures of what was heard.
//
// A test makes a server, points the program under test at it and measures:
//
//	sound := audiotest.StartPulse(t, "speakers")
//	sound.PlaySine("speakers", 997)
//	cmd.Env = sound.Env()                            // a child process; or
//	sound.Setenv()                                   // this process
//	pcm := sound.Record("speakers", 10*time.Second)
//	tone := audiotest.Measure(pcm, 997)
//
// Methods of Server, Player and Recording end the test with t.Fatal when
// something fails, so only the test's goroutine may call them. All processes
// that were started have ended when the test has.
//
// Sound is interleaved stereo float32 at 48 kHz, as in package audio.
package audiotest
