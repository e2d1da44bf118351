// Package server lets listeners in and sends them the sound: the player's page,
// the session that it asks for, and the WebSocket that carries packets. It is
// pure Go and knows nothing of where sound comes from.
//
//	GET  /             the player; upgraded to a WebSocket, the same as /listen
//	GET  /static/…     the player's files
//	GET  /api/session  what a token is good for
//	POST /api/links    a link for a program's visitor; links.go
//	GET  /listen       upgraded to a WebSocket: sound
//	GET  /healthz      200 while it serves
//
// A relay serves many streams, each at its name, and publishers feed them:
//
//	GET  /NAME             that stream's player, and so on as above
//	GET  /NAME/publish     upgraded to a WebSocket: sound comes in
//	GET  /embed.js         shows a stream's page in a frame on other sites' pages
//
// messages.go describes what goes over a listener's WebSocket, and publishing.go
// what over a publisher's.
//
// # Fan-out
//
// A packet is framed once. A lane is a ring of the newest messages, and each lane has
// as many writers as there are processors; publishing pokes those and returns,
// however many listen, and allocates the message alone. A writer goes through its
// listeners and writes what each lacks, waiting for none: no deadline is set, no
// goroutine woken. A socket that takes nothing is left to its listener's own
// goroutine, which waits and has a deadline, and so are TLS and Windows, whose writes
// can't be tried. A writer that is late sends what has gathered in one write.
//
// So the time goes into the write call: the kernel's way through TCP to the other
// socket. ./build/bench fanout shows it beside a bare loop of such calls; medians of
// five, of three seconds each, in turn, on two quiet cores:
//
//	processor time a message             beside                      latency p50/p99/p99.9
//	1,000 live listeners         3.0 µs  1.19 × the bare loop (2.5)  1.9/4.0/5.0 ms
//	2,000 live listeners         2.8 µs  1.12 × the bare loop (2.5)  3.9/7.6/10.0 ms
//	500 live listeners           3.1 µs  0.41 × Snapcast 0.26 (7.7)  1.1/2.3/2.6 ms
//	200 live listeners           4.6 µs  0.35 × pion WebRTC (13.1)   0.6/1.4/1.8 ms
//	1,000 listeners of radio    16.4 µs  0.56 × Icecast 2.4 (29.2)
//
// With a goroutine for each listener in place of the writers it is 1.37 × the bare
// loop. To publish takes 4 µs with 10 listeners and with 1,000; to capture and encode
// a packet of 20 ms, once for all, 0.38 and 0.26 ms.
//
// A listener takes 18 kB of memory beside the kernel's: two goroutines with stacks of
// 4 kB, and gorilla's buffers; 25 kB until the garbage of joining is gone. 500 a second
// can join while 1,000 listen and miss nothing, 2,100 at most.
//
// When all that takes too long (pressure.go), listeners are asked to take messages of
// 100 ms, a few after the others; who agrees, once its player holds enough, is moved,
// and back when there is little to do.
//
// # Threat model
//
// What is guarded is the sound of somebody's laptop, and the laptop. Whoever
// holds a good token hears the sound; there are no other accounts. The page
// itself, /static/ and /healthz are for everybody.
//
// The finder of a link (in a chat that was passed on, a browser's history, a
// screenshot) hears until it ends or the owner withdraws it. A link for one
// listener lets in who comes first and nobody else while that one listens; the
// owner sees who does, and may remove them. The page takes the token out of the
// address bar; it is in a fragment, which browsers send to no server, and no
// referrer, log line or error of ours has it. Nothing ties a link to a person,
// and what was heard may have been recorded.
//
// A stranger who reaches the port, in the LAN say, gets nothing without a
// token, and can't guess one: it is signed. (A secret that a configured key
// allows although it is weak can be guessed by whoever has one of its tokens,
// without asking here.) Bad tokens are refused before there is a WebSocket; ten
// in a row and then ten a minute are told why for each address, an IPv6 network
// of 64 bits being one. Their signatures take half of the processors at most, or
// the only one; requests have limits of time and size, connections of number.
// That bounds what a stranger costs. It doesn't stop a flood: with several
// addresses, or more traffic than the network or the computer takes, they keep
// others from connecting. Who listens already has a place that they can't take.
// Good tokens are counted apart from bad ones and from those that have ended, so
// that somebody behind the same address locks nobody out with those. Somebody
// with a good token can: who makes more than 50 requests a second with it keeps
// others at their address from joining, until the owner withdraws it.
//
// Another listener has a token, and no more rights than that: they don't see
// who else listens, and can't take the place of another link's listener, nor of
// the same link's unless they know the page's ID, which is random and stays in
// its tab. What they send is small and rare, or ends their connection, and is
// shown to the owner as figures and plain words; so is a name. Who takes the
// sound too slowly loses it alone. With a link for any number they can fill all
// seats, until the owner withdraws it.
//
// A malicious page in somebody's browser can send requests here, from inside
// the LAN too, but has no token: ours is in no cookie, and storage and history
// are our origin's. Its WebSocket is refused by its Origin, its requests with
// an Authorization by the preflight that nobody answers, a frame around our
// page by frame-ancestors. Our page runs no script but its own. DNS rebinding
// gives a page our address, not our origin, and so no token either. The sites
// that the owner lets embed the page can trick a click out of a visitor.
//
// An eavesdropper on plain http reads the token and the sound, and one who can
// change what passes can do anything to the page. That is how it is in a LAN
// without TLS. With a certificate here, or a proxy that has one, they see who
// talks to whom, and how much.
//
// Another user of the laptop is a stranger at the port. Keys, the list of links
// and the control socket are in the app's folder, which is closed to them, and
// tokens are in no program's arguments, which they might see. An administrator
// can do everything.
//
// A program with a token of scope "issue" can make links for listening until
// that token ends, for no longer and for no more listeners at once a link than
// it says. It can't listen itself but by a link that it makes, withdraw
// anything, or make more issuers. It can fill the owner's list, with 50 links a
// second and address: when 10,000 are good nobody can make another, the owner
// included, until some end or are withdrawn, all at once if need be. If its
// token is stolen, withdrawing that stops new links at once; the ones that were
// made are in the list and must be withdrawn, too.
//
// A relay holds public keys alone: who breaks into it hears what is published,
// and can send its listeners anything, but can make no links, and publish
// nowhere else: a laptop's token for publishing is for one stream's URL and
// ends after a minute and some seconds, by the relay's clock or, where it answers what
// the relay asked on that connection, from when it came. (Who has a shared secret may
// publish with it, and nothing else.) Links to a relay are good there alone, not at the laptop.
// Nobody takes a stream over from who publishes: not another key that may publish
// to it, nor another name by the same key. Who has the same key can, which is how a
// laptop that woke up comes back; the one that was replaced says so and waits for
// its owner. All who may publish to a stream may withdraw all links to it and
// remove its listeners. What is withdrawn while the relay can't be reached ends
// there when it can.
//
// A proxy that is trusted may say of any listener where they come from. One
// that isn't trusted makes all who come through it share one address, and its
// limits.
//
// A public stream asks for no token, so that one address could take all of its
// seats: it gets a tenth of them (or 20, or half of them where that is less), not
// counting those who have links. An IPv6 network of 64 bits is one address. Several addresses can
// fill it.
package server
