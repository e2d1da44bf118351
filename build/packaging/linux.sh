# The packages for Linux. Sourced by build/package.

# What makes packages, at the newest version that a clean module cache can
# fetch whole.
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2

# triple ARCH prints what GNU calls the architecture that Go calls ARCH.
triple() {
  case $1 in
    amd64) echo x86_64-linux-gnu ;;
    arm64) echo aarch64-linux-gnu ;;
  esac
}

# need_linux PAIR... notes what is missing to make these.
need_linux() {
  [ "$manager" = apt-get ] || die "Packages for Linux are made on Debian or Ubuntu, whose libopus and compilers they are built with."
  need 'have apt-get && have make' make - -
  need 'have gzip && have tar' 'gzip tar' - -
  case "$*" in *amd64*) need 'have x86_64-linux-gnu-gcc' 'gcc-x86-64-linux-gnu libc6-dev-amd64-cross' - - ;; esac
  case "$*" in *arm64*) need 'have aarch64-linux-gnu-gcc' 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross' - - ;; esac
}

# package_linux PAIR... makes them.
package_linux() {
  local arch pair
  manual=$stage/earshot.1
  write_manual
  for arch in amd64 arm64; do
    case "$*" in *"$arch"*) stage_linux $arch ;; esac
  done
  for pair; do
    arch=${pair#* }
    say "Packing ${pair% *} for $arch"
    case $pair in
      tar*) pack_tar "$arch" ;;
      arch*) pack "archlinux" "$arch" ;;
      *) pack "${pair% *}" "$arch" ;;
    esac
  done
}

# write_manual has the program itself print the page, as this computer can run
# it: with nobody's home and settings in it.
write_manual() {
  local program=$stage/earshot
  say "Writing the manual page"
  go_build -o "$program"
  env -i HOME=/nonexistent "$program" man >"$manual"
  rm "$program"
}

# build_linux ARCH FILE builds the program, with libopus in it.
build_linux() {
  local opus
  opus=$(opus_for "$(triple "$1")")
  # The path of libopus is in CGO_LDFLAGS since Go's cache goes by that, and not
  # by what pkg-config says.
  CGO_ENABLED=1 GOOS=linux GOARCH=$1 CC=$(triple "$1")-gcc \
    PKG_CONFIG_LIBDIR=$opus/lib/pkgconfig CGO_LDFLAGS="-O2 -g -L$opus/lib" \
    go_build -ldflags "$ldflags" -o "$2"
}

# stage_linux ARCH builds the program and lays out what an installation has.
stage_linux() {
  local arch=$1 root=$stage/linux-$1 size
  say "Building for Linux on $arch"
  mkdir -p "$root"/usr/{bin,share/{applications,metainfo,man/man1,doc/earshot}}
  build_linux "$arch" "$root/usr/bin/earshot"
  cp build/packaging/linux/earshot.desktop "$root/usr/share/applications/"
  filled build/packaging/linux/org.earshot.earshot.metainfo.xml |
    sed "s/@KIND@/$([ -z "$snapshot" ] && echo stable || echo development)/" >"$root/usr/share/metainfo/org.earshot.earshot.metainfo.xml"
  for size in 16 24 32 48 64 128 256 512; do
    install -D -m 644 build/packaging/icons/$size.png "$root/usr/share/icons/hicolor/${size}x$size/apps/earshot.png"
  done
  install -D -m 644 assets/player/src/icon.svg "$root/usr/share/icons/hicolor/scalable/apps/earshot.svg"
  gzip -9n <"$manual" >"$root/usr/share/man/man1/earshot.1.gz"
  GOOS=linux GOARCH=$arch notices >"$root/usr/share/doc/earshot/notices.txt"
  licence >"$root/usr/share/doc/earshot/copyright"
  chmod -R u=rwX,go=rX "$root" # a clone's files have the modes of somebody's umask
}

# changelog PACKAGE VERSION prints Debian's, compressed, which wants one (Policy
# 12.7); it says no more than which commit it is.
changelog() {
  local maintainer
  maintainer=$(sed -n 's/^maintainer: \(.*>\).*/\1/p' "$(git rev-parse --show-toplevel)/build/packaging/linux/nfpm.yaml")
  {
    echo "$1 ($2) unstable; urgency=medium"
    printf '\n  * Made of commit %s.\n\n' "$(git log -1 --format=%H)"
    echo " -- $maintainer  $(git log -1 --format=%cd --date=format-local:'%a, %d %b %Y %H:%M:%S +0000')"
  } | gzip -9n
}

# pack FORMAT ARCH makes a package by nfpm.
pack() {
  local version=$release description
  # "~" is older than nothing in Debian's and Fedora's order, letters are in Arch's.
  case $1 in
    deb | rpm) version=$release${snapshot:+~$snapshot} ;;
    archlinux) version=$release$snapshot ;;
  esac
  description=$(cat build/packaging/linux/description.txt)
  if [ "$1" = archlinux ]; then description=${description%%$'\n'*}; fi
  (
    cd "$stage/linux-$2"
    if [ "$1" = deb ]; then
      changelog earshot "$version" >usr/share/doc/earshot/changelog.gz
    fi
    find . -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    ARCH=$2 VERSION=$version DESCRIPTION=$description \
      go run $nfpm package --config ../../../build/packaging/linux/nfpm.yaml --packager "$1" --target "$packages/" >/dev/null
  )
}

# pack_tar ARCH makes an archive to be unpacked into /usr/local or ~/.local.
pack_tar() {
  local name=earshot-$version-linux-$1
  mkdir "$stage/$name"
  cp -R "$stage/linux-$1/usr/." "$stage/$name/"
  rm -f "$stage/$name/share/doc/earshot/changelog.gz"
  pack_dir "$name"
}

# pack_dir NAME makes an archive of that folder of what is staged.
pack_dir() {
  tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu \
    -C "$stage" -cf - "$1" | gzip -9n >"$packages/$1.tar.gz"
}
