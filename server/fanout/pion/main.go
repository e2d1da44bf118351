// Command pion is a small WebRTC fan-out, and listeners for it, to measure beside
// the hub: "pion serve" sends a packet of 227 bytes to everybody every 20 ms until
// its standard input ends, and "pion listen ADDRESS N TIME" are N who hear it.
//
// It is a module of its own, so that nothing else depends on what it needs.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
)

const (
	frame = 20 * time.Millisecond
	// size is the sound in a message of the hub's, less what its own head has
	// more than RTP's.
	size = 227
)

func main() {
	err := fmt.Errorf("pion serve | pion listen ADDRESS N TIME")
	switch {
	case len(os.Args) == 2 && os.Args[1] == "serve":
		err = serve()
	case len(os.Args) == 5 && os.Args[1] == "listen":
		err = listen(os.Args[2], os.Args[3], os.Args[4])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// api is WebRTC on this computer only, without what would answer losses.
func api() (*webrtc.API, error) {
	var codecs webrtc.MediaEngine
	if err := codecs.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	return webrtc.NewAPI(webrtc.WithMediaEngine(&codecs), webrtc.WithSettingEngine(settings)), nil
}

func serve() error {
	api, err := api()
	if err != nil {
		return err
	}
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "bench")
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		_ = http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := welcome(api, track, w, r); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		}))
	}()
	fmt.Println(ln.Addr())
	done := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(done) }()
	tick := time.NewTicker(frame)
	for {
		select {
		case <-done:
			return nil
		case <-tick.C:
			// Who has left makes an error, which is nobody else's.
			_ = track.WriteSample(media.Sample{Data: make([]byte, size), Duration: frame})
		}
	}
}

// welcome answers who wants to hear the track.
func welcome(api *webrtc.API, track webrtc.TrackLocal, w http.ResponseWriter, r *http.Request) error {
	var offer webrtc.SessionDescription
	if err := json.NewDecoder(r.Body).Decode(&offer); err != nil {
		return err
	}
	peer, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	peer.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateFailed || s == webrtc.PeerConnectionStateDisconnected {
			_ = peer.Close()
		}
	})
	sender, err := peer.AddTrack(track)
	if err != nil {
		return err
	}
	go func() {
		for report := make([]byte, 1500); ; {
			if _, _, err := sender.Read(report); err != nil {
				return
			}
		}
	}()
	if err := peer.SetRemoteDescription(offer); err != nil {
		return err
	}
	answer, err := peer.CreateAnswer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(peer)
	if err := peer.SetLocalDescription(answer); err != nil {
		return err
	}
	<-gathered
	return json.NewEncoder(w).Encode(peer.LocalDescription())
}

// listen prints a line when all hear something, and how many packets they heard
// in the time after.
func listen(addr, number, length string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(length)
	if err != nil {
		return err
	}
	api, err := api()
	if err != nil {
		return err
	}
	var heard atomic.Int64
	var all sync.WaitGroup
	for range n {
		all.Add(1)
		if err := join(api, addr, &heard, all.Done); err != nil {
			return err
		}
	}
	all.Wait()
	time.Sleep(time.Second) // handshakes are over
	fmt.Println("heard")
	before := heard.Load()
	time.Sleep(d)
	fmt.Println(heard.Load() - before)
	return nil
}

// join adds one who counts what it hears, and calls first when that begins.
func join(api *webrtc.API, addr string, heard *atomic.Int64, first func()) error {
	peer, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	peer.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		var once sync.Once
		for packet := make([]byte, 1500); ; {
			if _, _, err := track.Read(packet); err != nil {
				return
			}
			heard.Add(1)
			once.Do(first)
		}
	})
	if _, err := peer.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		return err
	}
	offer, err := peer.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(peer)
	if err := peer.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	text, err := json.Marshal(peer.LocalDescription())
	if err != nil {
		return err
	}
	response, err := http.Post("http://"+addr, "application/json", bytes.NewReader(text))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer webrtc.SessionDescription
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	return peer.SetRemoteDescription(answer)
}
