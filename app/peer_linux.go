package main

import (
	"bufio"
	order "encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// ownPeer tells whether the connection from client to server, both IPv4
// addresses of this computer, is of a program that this user runs.
func ownPeer(client, server netip.AddrPort) (bool, error) {
	table, err := os.Open("/proc/net/tcp") // proc_pid_net(5)
	if err != nil {
		return false, fmt.Errorf("see who connects: %w", err)
	}
	defer table.Close()
	from, to := tableForm(client), tableForm(server)
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		// Number, local and remote address, state, queues, timers, retries, user.
		if f := strings.Fields(lines.Text()); len(f) > 7 && f[1] == from && f[2] == to {
			return f[7] == strconv.Itoa(os.Getuid()), nil
		}
	}
	return false, lines.Err()
}

// tableForm writes an address as the kernel's table has it.
func tableForm(a netip.AddrPort) string {
	ip := a.Addr().Unmap().As4()
	return fmt.Sprintf("%08X:%04X", order.NativeEndian.Uint32(ip[:]), a.Port())
}
