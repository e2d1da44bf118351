# The packages of earshot-relay. Sourced by build/package after linux.sh.

# need_relay notes what is missing to make them.
need_relay() {
  need 'have gzip && have tar' 'gzip tar' 'gzip tar' 'gzip tar'
}

# package_relay ARCH makes a .deb and an archive.
package_relay() {
  local arch=$1 root=$stage/relay-$1
  say "Building the relay for Linux on $arch"
  mkdir -p "$root"/usr/{bin,lib/systemd/system,share/doc/earshot-relay}
  CGO_ENABLED=0 GOOS=linux GOARCH=$arch \
    go build -buildvcs=true -trimpath -ldflags "$ldflags" -o "$root/usr/bin/earshot-relay" ./app/relay >&2
  cp build/relay/earshot-relay.service "$root/usr/lib/systemd/system/"
  cp build/relay/{relay.toml,nginx.conf} "$root/usr/share/doc/earshot-relay/"
  sed -n '/^## Run a relay$/,/^## How late/p' README.md | sed '$d' >"$root/usr/share/doc/earshot-relay/README.md"
  GOOS=linux GOARCH=$arch notices ./app/relay >"$root/usr/share/doc/earshot-relay/notices.txt"
  licence >"$root/usr/share/doc/earshot-relay/copyright"
  chmod -R u=rwX,go=rX "$root"
  pack_relay_tar "$arch"
  pack_relay_deb "$arch"
}

# pack_relay_tar ARCH makes an archive to be unpacked into /usr/local.
pack_relay_tar() {
  local name=earshot-relay-$version-linux-$1
  mkdir "$stage/$name"
  cp -R "$stage/relay-$1/usr/." "$stage/$name/"
  sed -i 's|^ExecStart=/usr/|&local/|' "$stage/$name/lib/systemd/system/earshot-relay.service"
  pack_dir "$name"
}

# pack_relay_deb ARCH makes a package by nfpm.
pack_relay_deb() {
  local version=$release${snapshot:+~$snapshot}
  (
    cd "$stage/relay-$1"
    changelog earshot-relay "$version" >usr/share/doc/earshot-relay/changelog.gz
    find . -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    ARCH=$1 VERSION=$version DESCRIPTION=$(cat ../../../build/packaging/relay/description.txt) \
      go run $nfpm package --config ../../../build/packaging/relay/nfpm.yaml --packager deb --target "$packages/" >/dev/null
  )
}
