// Package relay joins relays that serve the same streams, through NATS: any of
// them takes the publisher, and all of them have listeners. NATS is embedded,
// without a port, where there is one relay; more of them meet at a cluster of
// NATS servers (2.11 or later, with JetStream). Programs on the cluster's account
// are trusted: give the relays an account of their own.
//
// What goes where (wire.go has the forms):
//
//   - Sound goes over core NATS, which keeps nothing: what is late is worthless.
//     Each relay that has listeners of a stream subscribes to it once, and says
//     so to the publisher's relay, which sends nothing while nobody does.
//   - Who publishes, and what is withdrawn, is in one JetStream key-value
//     bucket, "earshot". A withdrawal also goes over core NATS, so that it counts
//     at once and while the servers elect a leader.
//   - Who listens is told by each relay once a second, to the publisher's relay
//     for the owner, and to the others as far as links are for so many at once.
//
// # One publisher
//
// A lease of a stream is the stream's record in the bucket. It is taken and
// renewed by writes that name the revision which they replace, so that of two
// that race one fails, whatever either of them has read before. The revision of
// the write that began the lease is its epoch; it is in front of every message,
// and whoever knows of a later one drops it. Numbers rise within an epoch, and
// what doesn't is dropped. So whatever goes wrong with the lease itself (a
// computer that stood still, say), nobody hears two publishers mixed, and no
// packet twice.
//
// The holder of a lease believes in it for 14.5 s from before its last renewal
// began, each other relay for 15 s from when it saw that; both by their own
// monotonic clocks. The time of day is compared nowhere but in who of a link's
// listeners is the oldest.
//
// # When something breaks
//
//   - The publisher's relay dies: the publisher connects to another one, which
//     takes over from the same identity at once.
//   - A NATS server dies: its relays change to another in well under a second.
//     The others elect a leader in 4 to 9 s if it led; an established publisher
//     doesn't notice, a new one may have to wait for that, 10 s at most.
//   - Two servers lose each other and both reach a third: each passes on only to
//     servers that it reaches itself. A relay that hears nothing of the
//     publisher's for 3.5 s tries its next server, every 5 s at most.
//   - A relay is cut off from NATS: its listeners hear on as long as its own
//     publisher holds the lease, 14.5 s; nobody new gets in by a link after 15 s.
//     The publisher's connection is ended then, so that it finds another relay.
//   - The bucket is deleted: relays begin anew, and store again what they know to
//     be withdrawn.
//   - Nothing can be stored: what is withdrawn counts at once on all relays that
//     reach each other, and each of them stores it as soon as it can.
//
// # What a million listeners need
//
// Measured by build/bench relay on two cores of an Intel Xeon with other work on
// them, Go 1.26, NATS 2.15, plain HTTP, all on one machine: NATS adds 0.3 ms to
// the delay where both relays have a server of their own and 0.2 ms where they
// share one (medians; p99 22 and 8 ms). A message costs the servers 15 µs for one
// relay that has listeners and two relays together 13 µs. A listener costs a relay
//
//	lane      processor a second   memory   network (128 kb/s, packets of 20 ms)
//	live      550 µs               84 kB    162 kb/s
//	balanced  130 µs               52 kB    144 kb/s
//	radio      31 µs               54 kB    140 kb/s
//
// where the memory is the process's, without what the kernel holds for sockets,
// and the network is reckoned: 50 packets of 320 bytes, 14 of header each, 4 of
// WebSocket a message, 66 a TCP segment.
//
// A million in the radio lane then take 140 Gb/s, 31 such cores and 54 GB; in the
// live lane 162 Gb/s, 550 cores and 84 GB. Bandwidth decides: with a port of
// 10 Gb/s filled to 80 %, a relay has room for 57,000, and 18 relays are enough,
// each with 2 cores for radio, 8 for balanced, 32 for live. Say 20, with 50,000
// each, so that two may fail.
//
// NATS hardly notices. Sound is 50 messages of 343 bytes a second to 20 relays:
// 1,000 messages and, with protocol and headers, 0.4 MB a second, 15 ms of
// processor. Reports are 20 a second, with at most 200 names 40 kB each: 0.8 MB a
// second to one relay. Writes to the bucket are 7 heartbeats a second and one
// renewal each 2 s. What grows with the square of the relays is the seats of
// links that are for so many at once: 110 bytes a second for each such listener,
// from its relay to each other one that has any. 10,000 of them on 20 relays are
// 1 MB a second to each; a public stream, or links for any number, have none.
//
// That is a model: what was run is 1,500 listeners. TLS is not in it.
package relay
