//go:build linux

package fanout

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// trials are how often each is measured, in turn with what it is compared with.
const trials = 5

// load is listeners in this process, each with an address of its own.
type load struct {
	mu       sync.Mutex // guards conns
	conns    []net.Conn
	reading  sync.WaitGroup
	messages atomic.Int64
	bytes    atomic.Int64
	gaps     atomic.Int64
	asked    atomic.Int64        // how often somebody was asked to go to another lane
	moved    atomic.Int64        // who are in a larger lane, since they were asked to go there
	late     [20000]atomic.Int64 // messages by their age, in 100 µs
	measures atomic.Bool
	stays    bool // nobody agrees to go
}

// listen adds n listeners of a kind, and waits until all are served.
func (l *load) listen(b testing.TB, kind, addr string, n int) {
	b.Helper()
	for range n {
		if err := l.join(kind, addr); err != nil {
			b.Fatalf("listener %d: %v", len(l.conns), err)
		}
	}
}

// flock adds listeners of a kind for so long, so many a second, or as fast as
// they come where rate is 0. It returns how many a second did.
func (l *load) flock(kind, addr string, rate int, length time.Duration) (float64, error) {
	var joining sync.WaitGroup
	var next, joined atomic.Int64
	var failed atomic.Pointer[error]
	begun := time.Now()
	for range 8 {
		joining.Go(func() {
			for failed.Load() == nil {
				due := time.Since(begun)
				if n := next.Add(1); rate > 0 {
					due = time.Duration(n) * time.Second / time.Duration(rate)
				}
				if due >= length {
					return
				}
				time.Sleep(time.Until(begun.Add(due)))
				if err := l.join(kind, addr); err != nil {
					failed.Store(&err)
					return
				}
				joined.Add(1)
			}
		})
	}
	joining.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(joined.Load()) / time.Since(begun).Seconds(), nil
}

func (l *load) join(kind, addr string) error {
	l.mu.Lock()
	i := len(l.conns)
	l.conns = append(l.conns, nil)
	l.mu.Unlock()
	from := &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/250), byte(1+i%250))}
	dialer := net.Dialer{LocalAddr: from, Timeout: 10 * time.Second}
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.conns[i] = conn
	l.mu.Unlock()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReaderSize(conn, 2048)
	read := func(r *bufio.Reader) { l.frames(conn, r) }
	switch kind {
	case "snap":
		id := fmt.Sprintf("02:00:00:00:%02x:%02x", i/256, i%256)
		text := fmt.Sprintf(`{"Arch":"x86_64","ClientName":"bench","HostName":"h%d","ID":"%s","Instance":1,"MAC":"%s","OS":"Linux","SnapStreamProtocolVersion":2,"Version":"0.26.0"}`, i, id, id)
		hello := make([]byte, 26, 256)
		binary.LittleEndian.PutUint16(hello, 5)
		binary.LittleEndian.PutUint32(hello[22:], uint32(4+len(text)))
		hello = binary.LittleEndian.AppendUint32(hello, uint32(len(text)))
		_, err = conn.Write(append(hello, text...))
		read = l.chunks
	case "icecast":
		_, err = io.WriteString(conn, "GET /s HTTP/1.0\r\n\r\n")
		read = l.plain
	default:
		query := ""
		if kind == "radio" {
			query = "?lane=radio"
		}
		_, err = fmt.Fprintf(conn, "GET /listen%s HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", query)
	}
	if err != nil {
		return err
	}
	if kind != "snap" && kind != "icecast" { // which answers with the first sound
		status, err := r.ReadString('\n')
		if err != nil || !strings.Contains(status, " 101 ") && !strings.Contains(status, " 200 ") {
			return fmt.Errorf("answer %q: %v", status, err)
		}
		for line := status; strings.TrimSpace(line) != ""; {
			if line, err = r.ReadString('\n'); err != nil {
				return err
			}
		}
	}
	if kind == "ws" || kind == "radio" { // as players do
		for _, text := range []string{`{"type":"ping","t":1}`, `{"type":"stats","buffer":200,"latency":250}`} {
			if err := say(conn, text); err != nil {
				return err
			}
		}
	}
	_ = conn.SetReadDeadline(time.Time{})
	l.reading.Go(func() { read(r) })
	return nil
}

// say sends a text message of fewer than 126 bytes.
func say(conn net.Conn, text string) error { return sendFrame(conn, 0x81, text) }

// sendFrame sends a frame of fewer than 126 bytes, masked with zeros.
func sendFrame(conn net.Conn, head byte, data string) error {
	_, err := conn.Write(append([]byte{head, 0x80 | byte(len(data)), 0, 0, 0, 0}, data...))
	return err
}

// frames reads WebSocket frames of a server: sound, pings, which it answers, and
// texts, of which it answers those that ask it to move.
func (l *load) frames(conn net.Conn, r *bufio.Reader) {
	head := make([]byte, 10)
	next, begun := uint32(0), false
	for {
		if _, err := io.ReadFull(r, head[:2]); err != nil {
			return
		}
		size := int(head[1])
		switch size {
		case 126:
			if _, err := io.ReadFull(r, head[2:4]); err != nil {
				return
			}
			size = int(binary.BigEndian.Uint16(head[2:]))
		case 127:
			if _, err := io.ReadFull(r, head[2:10]); err != nil {
				return
			}
			size = int(binary.BigEndian.Uint64(head[2:]))
		}
		if head[0] == 0x82 {
			packet, err := r.Peek(13)
			if err != nil {
				return
			}
			seq := binary.BigEndian.Uint32(packet[1:])
			if begun && seq != next {
				l.gaps.Add(1)
			}
			next, begun = seq+uint32(size/(240-4-1)), true
			if l.measures.Load() {
				age := clock() - time.Duration(binary.BigEndian.Uint64(packet[5:]))*time.Microsecond
				l.late[min(max(0, int(age/(100*time.Microsecond))), len(l.late)-1)].Add(1)
			}
			l.messages.Add(1)
		}
		if (head[0] == 0x81 || head[0] == 0x89) && size < 256 {
			text, err := r.Peek(size)
			if err == nil && head[0] == 0x81 {
				err = l.answer(conn, text)
			} else if err == nil {
				err = sendFrame(conn, 0x8a, string(text))
			}
			if err != nil {
				return
			}
		}
		if _, err := r.Discard(size); err != nil {
			return
		}
		l.bytes.Add(int64(size))
	}
}

// answer agrees to a move, and counts it when it is done.
func (l *load) answer(conn net.Conn, text []byte) error {
	var m struct{ Type, Lane string }
	if err := json.Unmarshal(text, &m); err != nil {
		return err
	}
	switch {
	case m.Type == "move":
		l.asked.Add(1)
		if l.stays {
			return nil
		}
		return say(conn, fmt.Sprintf(`{"type":"lane","lane":%q}`, m.Lane))
	case m.Type == "lane" && m.Lane == "live":
		l.moved.Add(-1)
	case m.Type == "lane":
		l.moved.Add(1) // a radio listener's own wish, too
	}
	return nil
}

// chunks reads what Snapcast's server sends.
func (l *load) chunks(r *bufio.Reader) {
	head := make([]byte, 26)
	for {
		if _, err := io.ReadFull(r, head); err != nil {
			return
		}
		if binary.LittleEndian.Uint16(head) == 2 {
			l.messages.Add(1)
		}
		if _, err := r.Discard(int(binary.LittleEndian.Uint32(head[22:]))); err != nil {
			return
		}
	}
}

// plain reads 12 kB after 12 kB.
func (l *load) plain(r *bufio.Reader) {
	for {
		if _, err := r.Discard(12000); err != nil {
			return
		}
		l.messages.Add(1)
	}
}

func (l *load) close() {
	for _, c := range l.conns {
		if c != nil {
			_ = c.Close()
		}
	}
	l.reading.Wait()
}

// percentile is the age in ms that this part of the messages had at most.
func (l *load) percentile(q float64) float64 {
	all := int64(0)
	for i := range l.late {
		all += l.late[i].Load()
	}
	seen := int64(0)
	for i := range l.late {
		if seen += l.late[i].Load(); float64(seen) >= q*float64(all) {
			return float64(i+1) / 10
		}
	}
	return math.NaN()
}

// used is the processor time that a process has had.
func used(b *testing.B, pid int) time.Duration {
	b.Helper()
	// What clock_getcpuclockid(3) answers.
	const schedulers = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulers), &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// resident is a process's memory in bytes.
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
	return float64(pages * os.Getpagesize())
}

// sample is one measurement.
type sample struct {
	Row       string  `json:"row"`
	Listeners int     `json:"listeners"`
	Messages  int64   `json:"messages"`
	CPU       float64 `json:"cpu"` // µs a message
	P50       float64 `json:"p50,omitempty"`
	P99       float64 `json:"p99,omitempty"`
	P999      float64 `json:"p999,omitempty"` // ms
	Gaps      int64   `json:"gaps"`
	Moved     int64   `json:"moved,omitempty"` // listeners who were asked to take longer messages, and do
	Load      string  `json:"load"`            // of the computer before
}

// results is what the benchmark keeps.
type results struct {
	Commit  string             `json:"commit"`
	Samples []sample           `json:"samples"`
	Others  map[string]float64 `json:"others"`
	Skipped []string           `json:"skipped"`
}

// measure lets n listeners of a server listen for so long.
func (r *results) measure(b *testing.B, row, kind string, p process, n int, length time.Duration) {
	b.Helper()
	before, _ := os.ReadFile("/proc/loadavg")
	l := &load{}
	defer l.close()
	for range n {
		if err := l.join(kind, p.addr); err != nil {
			if kind == "ws" || kind == "radio" {
				b.Fatalf("%s: listener %d: %v", row, len(l.conns), err)
			}
			r.Skipped = append(r.Skipped, fmt.Sprintf("%s: listener %d could not join: %v", row, len(l.conns), err))
			return
		}
	}
	time.Sleep(500*time.Millisecond + map[bool]time.Duration{true: 2 * time.Second}[kind == "radio" || kind == "icecast"])
	l.measures.Store(true)
	cpu, messages, gaps := used(b, p.cmd.Process.Pid), l.messages.Load(), l.gaps.Load()
	time.Sleep(length)
	cpu, messages, gaps = used(b, p.cmd.Process.Pid)-cpu, l.messages.Load()-messages, l.gaps.Load()-gaps
	s := sample{Row: row, Listeners: n, Messages: messages, Gaps: gaps, Moved: l.moved.Load(), Load: strings.TrimSpace(string(before))}
	s.CPU = cpu.Seconds() * 1e6 / float64(max(1, messages))
	if kind == "ws" {
		s.P50, s.P99, s.P999 = l.percentile(0.5), l.percentile(0.99), l.percentile(0.999)
	}
	r.Samples = append(r.Samples, s)
}

// median is of what pick takes from a row's samples.
func (r *results) median(row string, n int, pick func(sample) float64) float64 {
	var all []float64
	for _, s := range r.Samples {
		if s.Row == row && s.Listeners == n {
			all = append(all, pick(s))
		}
	}
	if len(all) == 0 {
		return math.NaN()
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func cpuOf(s sample) float64 { return s.CPU }

// BenchmarkFanout measures all, and prints a table. build/bench runs it.
func BenchmarkFanout(b *testing.B) {
	length, err := time.ParseDuration(os.Getenv("EARSHOT_BENCH_FOR"))
	if err != nil {
		b.Fatal("run ./build/bench fanout")
	}
	r := &results{Commit: os.Getenv("EARSHOT_BENCH_COMMIT"), Others: map[string]float64{}}
	have := func(name string) bool {
		if _, err := exec.LookPath(name); err != nil {
			r.Skipped = append(r.Skipped, name+": not installed")
			return false
		}
		return true
	}
	alone, ours := start(b, "floor"), start(b, "hub")
	each := start(b, "goroutines")
	for _, n := range []int{1000, 2000} {
		for range trials {
			r.measure(b, "floor", "ws", alone, n, length)
			r.measure(b, "hub", "ws", ours, n, length)
			if n == 1000 {
				r.measure(b, "goroutines", "ws", each, n, length)
			}
		}
	}
	for _, n := range []int{10, 100} {
		r.measure(b, "hub", "ws", ours, n, length)
	}
	if have("snapserver") {
		snap := snapserver(b)
		for range trials {
			r.measure(b, "snapserver", "snap", snap, 500, length)
			r.measure(b, "hub", "ws", ours, 500, length)
		}
	}
	if have("icecast2") {
		ice := icecast(b)
		for range trials {
			r.measure(b, "icecast2", "icecast", ice, 1000, max(length, 3*time.Second))
			if len(r.Samples) == 0 || r.Samples[len(r.Samples)-1].Row == "hub" {
				break // it takes nobody
			}
			r.measure(b, "radio", "radio", ours, 1000, max(length, 3*time.Second))
		}
	}
	r.full(b, length)
	r.making(b, length)
	r.webrtc(b, ours, length)
	r.memory(b)
	r.publishing(b, ours)
	r.joins(b, ours)
	b.ReportMetric(0, "ns/op") // hides it: that would be the length
	r.print(b)
}

// memory is what a listener takes of a fresh server, when the server has collected
// its garbage and given back what was free; and what it takes with that.
func (r *results) memory(b *testing.B) {
	b.Helper()
	p := start(b, "hub")
	l := &load{}
	defer l.close()
	l.listen(b, "ws", p.addr, 100)
	time.Sleep(time.Second)
	p.tidy(b)
	before := resident(b, p.cmd.Process.Pid)
	l.listen(b, "ws", p.addr, 1000)
	time.Sleep(2 * time.Second)
	r.Others["memory/listener-kB, untidied"] = (resident(b, p.cmd.Process.Pid) - before) / 1000 / 1000
	p.tidy(b)
	r.Others["memory/listener-kB"] = (resident(b, p.cmd.Process.Pid) - before) / 1000 / 1000
}

// publishing is how long it takes who publishes, which mustn't depend on how many
// listen.
func (r *results) publishing(b *testing.B, p process) {
	b.Helper()
	for _, n := range []int{10, 1000} {
		l := &load{}
		l.listen(b, "ws", p.addr, n)
		time.Sleep(time.Second)
		p.tidy(b)
		time.Sleep(4 * time.Second)
		r.Others[fmt.Sprintf("publish-%d-p50-µs", n)], r.Others[fmt.Sprintf("publish-%d-p99-µs", n)] = p.tidy(b)
		l.close()
	}
}

// joins lets 500 listeners a second join while 1,000 listen, and then as many as
// can.
func (r *results) joins(b *testing.B, p process) {
	b.Helper()
	for name, rate := range map[string]int{"joins": 500, "joins-flat-out": 0} {
		there, coming := &load{}, &load{}
		there.listen(b, "ws", p.addr, 1000)
		time.Sleep(time.Second)
		there.measures.Store(true)
		cpu := used(b, p.cmd.Process.Pid)
		did, err := coming.flock("ws", p.addr, rate, 2*time.Second)
		if err != nil {
			b.Fatal(err)
		}
		r.Others[name+"/s"] = did
		r.Others[name+"-cores"] = (used(b, p.cmd.Process.Pid) - cpu).Seconds() / 2
		time.Sleep(200 * time.Millisecond)
		r.Others[name+"-gaps"] = float64(there.gaps.Load())
		r.Others[name+"-p99-ms"] = there.percentile(0.99)
		coming.close()
		there.close()
	}
}

// print prints the table and keeps what was measured, as JSON and for benchstat.
func (r *results) print(b *testing.B) {
	b.Helper()
	fmt.Printf("\n| | listeners | µs a message | ratio | p50 / p99 / p99.9 ms | gaps |\n| --- | --- | --- | --- | --- | --- |\n")
	row := func(name string, n int, against string) {
		cpu := r.median(name, n, cpuOf)
		if math.IsNaN(cpu) {
			return
		}
		ratio, late := "", ""
		if against != "" {
			ratio = fmt.Sprintf("%.2f × %s", cpu/r.median(against, n, cpuOf), against)
		}
		if name == "hub" || name == "floor" || name == "goroutines" {
			late = fmt.Sprintf("%.1f / %.1f / %.1f", r.median(name, n, func(s sample) float64 { return s.P50 }),
				r.median(name, n, func(s sample) float64 { return s.P99 }), r.median(name, n, func(s sample) float64 { return s.P999 }))
		}
		fmt.Printf("| %s | %d | %.1f | %s | %s | %.0f |\n", name, n, cpu, ratio, late, r.median(name, n, func(s sample) float64 { return float64(s.Gaps) }))
	}
	row("hub", 10, "")
	row("hub", 100, "")
	row("webrtc", peers, "")
	row("hub", peers, "webrtc")
	row("snapserver", 500, "")
	row("hub", 500, "snapserver")
	row("floor", 1000, "")
	row("hub", 1000, "floor")
	row("goroutines", 1000, "floor")
	row("floor", 2000, "")
	row("hub", 2000, "floor")
	row("icecast2", 1000, "")
	row("radio", 1000, "icecast2")
	row(fullRow, fullHouse(), "")
	row("capture", 0, "")
	row("encode", 0, "")
	fmt.Println()
	for _, name := range []string{"memory/listener-kB", "memory/listener-kB, untidied",
		"publish-10-p50-µs", "publish-1000-p50-µs", "publish-10-p99-µs", "publish-1000-p99-µs", "joins/s", "joins-cores", "joins-gaps", "joins-p99-ms",
		"joins-flat-out/s", "joins-flat-out-cores", "joins-flat-out-gaps", "joins-flat-out-p99-ms"} {
		fmt.Printf("%s: %.1f\n", name, r.Others[name])
	}
	for _, s := range r.Skipped {
		fmt.Println("Left out:", s)
	}
	out := os.Getenv("EARSHOT_BENCH_OUT")
	if out == "" {
		return
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		b.Fatal(err)
	}
	var lines strings.Builder
	for _, s := range r.Samples {
		fmt.Fprintf(&lines, "BenchmarkFanout/server=%s/listeners=%d 1 %.3f µs/message\n", s.Row, s.Listeners, s.CPU)
	}
	for path, text := range map[string][]byte{out: append(text, '\n'), strings.TrimSuffix(out, filepath.Ext(out)) + ".txt": []byte(lines.String())} {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			b.Fatal(err)
		}
	}
}
