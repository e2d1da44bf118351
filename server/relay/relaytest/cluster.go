// Package relaytest runs NATS servers for tests, as processes that can be killed
// and that can lose each other.
package relaytest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// nodeVariable makes this program a NATS server.
const nodeVariable = "EARSHOT_TEST_NATS"

// Serve makes this program a NATS server where NewCluster has started it as one,
// and returns true when its standard input has ended. TestMain calls it first.
func Serve() bool {
	if os.Getenv(nodeVariable) == "" {
		return false
	}
	var routes []*url.URL
	for text := range strings.FieldsSeq(os.Getenv("NODE_ROUTES")) {
		u, err := url.Parse(text)
		if err != nil {
			panic(err)
		}
		routes = append(routes, u)
	}
	var port, clusterPort int
	fmt.Sscan(os.Getenv("NODE_PORTS"), &port, &clusterPort)
	s, err := natsserver.NewServer(&natsserver.Options{
		ServerName: os.Getenv(nodeVariable),
		Host:       os.Getenv("NODE_HOST"),
		Port:       port,
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   os.Getenv("NODE_DIR"),
		Cluster: natsserver.ClusterOpts{
			Name: "test",
			Host: os.Getenv("NODE_HOST"),
			Port: clusterPort,
			// The others come by the routes they are told and by no others, so that
			// these can be cut.
			Advertise:   os.Getenv("NODE_ADVERTISE"),
			NoAdvertise: true,
		},
		Routes: routes,
	})
	if err != nil {
		panic(err)
	}
	if os.Getenv("NODE_LOG") != "" {
		s.ConfigureLogger()
	}
	s.Start()
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
	s.WaitForShutdown()
	return true
}

// Node is a NATS server as a process of its own.
type Node struct {
	t            testing.TB
	name, dir    string
	host         string
	port, routed int // for relays, and for other servers
	env          []string
	start        func(*exec.Cmd) error
	cmd          *exec.Cmd
	in           io.Closer
}

// URL is where relays connect.
func (n *Node) URL() string { return fmt.Sprintf("nats://%s:%d", n.host, n.port) }

// Begin starts it.
func (n *Node) Begin() {
	n.t.Helper()
	n.cmd = exec.Command(os.Args[0])
	n.cmd.Env = append(os.Environ(), n.env...)
	in, err := n.cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if os.Getenv("EARSHOT_TEST_LOG") != "" {
		n.cmd.Stderr = os.Stderr
	}
	n.in = in
	if err := n.start(n.cmd); err != nil {
		n.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		n.t.Fatalf("nats server %s says %q, %v", n.name, line, err)
	}
}

// Kill ends it as a power failure would; it may begin again.
func (n *Node) Kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	_ = n.in.Close()
	n.cmd = nil
}

// Cluster is three NATS servers whose routes lead through cables, a pair of
// servers each, so that any of them can be cut.
type Cluster struct {
	Nodes  []*Node
	cables map[[2]int]*Cable // from one node to another, that it dials
}

// Ways are the cables between two nodes.
func (c *Cluster) Ways(i, j int) []*Cable {
	return []*Cable{c.cables[[2]int{i, j}], c.cables[[2]int{j, i}]}
}

// freePorts returns ports that nobody has just now.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// NewCluster starts three servers, which go with the test. The program's TestMain
// must call [Serve].
func NewCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{cables: map[[2]int]*Cable{}}
	for i := range size {
		c.Nodes = append(c.Nodes, newNode(t, i, "127.0.0.1", (*exec.Cmd).Start))
	}
	for i, n := range c.Nodes {
		var routes []string
		for j, o := range c.Nodes {
			if i != j {
				c.cables[[2]int{i, j}] = newCable(t, o.address())
				routes = append(routes, "nats://"+c.cables[[2]int{i, j}].ln.Addr().String())
			}
		}
		n.route(routes)
		n.Begin()
	}
	return c
}

const size = 3

// NewClusterAt starts three servers on both ends of a network: two at the host
// near, one at the host far, which start begins there. It has no cables.
func NewClusterAt(t testing.TB, near, far string, start func(*exec.Cmd) error) *Cluster {
	t.Helper()
	c := &Cluster{Nodes: []*Node{
		newNode(t, 0, near, (*exec.Cmd).Start),
		newNode(t, 1, near, (*exec.Cmd).Start),
		newNode(t, 2, far, start),
	}}
	for i, n := range c.Nodes {
		var routes []string
		for j, o := range c.Nodes {
			if i != j {
				routes = append(routes, "nats://"+o.address())
			}
		}
		n.route(routes)
		n.Begin()
	}
	return c
}

func newNode(t testing.TB, i int, host string, start func(*exec.Cmd) error) *Node {
	ports := freePorts(t, 2)
	n := &Node{t: t, name: fmt.Sprintf("n%d", i), dir: t.TempDir(), host: host, port: ports[0], routed: ports[1], start: start}
	t.Cleanup(n.Kill)
	return n
}

// address is where other servers connect.
func (n *Node) address() string { return fmt.Sprintf("%s:%d", n.host, n.routed) }

// route says where the other servers are.
func (n *Node) route(routes []string) {
	n.env = []string{nodeVariable + "=" + n.name, "NODE_DIR=" + n.dir, "NODE_HOST=" + n.host, "NODE_ADVERTISE=127.0.0.1:1",
		fmt.Sprintf("NODE_PORTS=%d %d", n.port, n.routed), "NODE_ROUTES=" + strings.Join(routes, " ")}
}

// CPU is how much processor time the servers have used.
func (c *Cluster) CPU() time.Duration {
	var sum time.Duration
	for _, n := range c.Nodes {
		if n.cmd != nil {
			sum += CPU(n.cmd.Process.Pid)
		}
	}
	return sum
}

// CPU is how much processor time a process has used: proc(5), /proc/pid/stat.
func CPU(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	var user, system int64
	fmt.Sscan(fields[11], &user)
	fmt.Sscan(fields[12], &system)
	return time.Duration(user+system) * 10 * time.Millisecond // ticks of 1/100 s
}
