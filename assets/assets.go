// Package assets holds the files that the programs carry: the web player and
// the tray's icons.
package assets

import (
	"embed"
	"io/fs"
)

// The player's build output, empty but for .gitignore on a clone where it was
// not built yet.
//
//go:embed all:player/dist
var dist embed.FS

//go:embed player/unbuilt
var unbuilt embed.FS

// Player returns the web player: index.html, to be served at / and not cached,
// and static/, to be served at /static/ and cached for ever, since every name
// in it has the content's hash. Each file has its compressed forms beside it,
// name.br and name.gz. embed.js is for pages of other sites. It needs nothing beyond the policy
//
//	default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self';
//	img-src 'self' data:; connect-src 'self'; worker-src 'self'
//
// on every answer, the scripts' included. Where the player is not built,
// index.html says how to build it.
func Player() fs.FS {
	if Built() {
		return sub(dist, "player/dist")
	}
	return sub(unbuilt, "player/unbuilt")
}

// Built says whether the player was built before this program was.
func Built() bool {
	_, err := fs.Stat(dist, "player/dist/index.html")
	return err == nil
}

// sub panics on an error: its names are constants, embedded above.
func sub(files fs.FS, dir string) fs.FS {
	s, err := fs.Sub(files, dir)
	if err != nil {
		panic(err)
	}
	return s
}
