# What build/run, build/test and build/bench share. Sourced by bash with -eu.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. build/opus.sh

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# as_root COMMAND... runs it as root, and says so where that takes sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@" >&2
  elif have sudo; then
    say "Running: sudo $*"
    sudo "$@" >&2
  else
    die "This needs root and there is no sudo. As root, run: $*"
  fi
}

# The distribution's package manager: apt, dnf, pacman or nothing.
manager=
for m in apt-get dnf pacman; do
  have $m && { manager=$m; break; }
done

# The packages that are missing, by the names of this distribution.
missing=()

# need CHECK APT DNF PACMAN notes what to install where the command CHECK
# fails. A - stands for nothing.
need() {
  if eval "$1" >/dev/null 2>&1; then return; fi
  local names
  case $manager in
    apt-get) names=$2 ;;
    dnf) names=$3 ;;
    pacman) names=$4 ;;
    *) names=$2 ;;
  esac
  [ "$names" = - ] || missing+=($names)
}

# install_missing installs what need has noted.
install_missing() {
  [ ${#missing[@]} -gt 0 ] || return 0
  say "Installing: ${missing[*]}"
  case $manager in
    apt-get)
      as_root apt-get update -qq
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" ;;
    dnf) as_root dnf install -y "${missing[@]}" ;;
    pacman) as_root pacman -S --needed --noconfirm "${missing[@]}" ;;
    *) die "I don't know this system's package manager. Install what Debian calls ${missing[*]}, then run this again." ;;
  esac
  missing=()
}

# ldconfig is where a plain user's PATH may not lead.
library() { PATH=$PATH:/usr/sbin:/sbin ldconfig -p | grep -q "$1"; }

need_to_build() {
  need 'have go' golang-go golang go
  need 'have gcc' 'gcc libc6-dev' gcc gcc
  need 'have pkg-config' pkg-config pkgconf-pkg-config pkgconf
  need 'pkg-config --exists opus' libopus-dev opus-devel opus
  need 'have node' nodejs nodejs nodejs
  need 'have npm' npm nodejs-npm npm
  need '[ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] || [ -e /etc/ssl/cert.pem ]' ca-certificates ca-certificates ca-certificates
}

need_to_run() {
  need 'library libpulse.so.0' libpulse0 pulseaudio-libs libpulse
  if [ -n "${WAYLAND_DISPLAY:-}${DISPLAY:-}" ]; then
    need 'have xdg-open' xdg-utils xdg-utils xdg-utils
  fi
  if [ -n "${WAYLAND_DISPLAY:-}" ]; then
    need 'have wl-copy' wl-clipboard wl-clipboard wl-clipboard
  elif [ -n "${DISPLAY:-}" ]; then
    need 'have xclip || have xsel' xclip xclip xclip
  fi
}

# need_sound is for what plays real sound into real browsers.
need_sound() {
  need 'have pulseaudio' pulseaudio - -
  need 'have pactl && have parec' pulseaudio-utils pulseaudio-utils libpulse
  need 'have pipewire && have wireplumber' 'pipewire wireplumber' 'pipewire wireplumber' 'pipewire wireplumber'
  need 'have pipewire-pulse' pipewire-pulse pipewire-pulseaudio pipewire-pulse
  need 'have dbus-daemon && have dbus-run-session' dbus 'dbus-daemon dbus-tools' dbus
  local chromium=chromium firefox=firefox-esr
  if grep -qs '^ID=ubuntu' /etc/os-release; then
    chromium=chromium-browser
    firefox=firefox
  fi
  need 'have chromium' $chromium chromium chromium
  need 'have firefox-esr || have firefox' $firefox firefox firefox
}

# use_go makes sure that go is at least what go.mod asks for. From 1.21 on, Go
# fetches a newer toolchain by itself; an older one can still fetch it as what
# it is, a module.
use_go() {
  local wanted have_version
  wanted=$(sed -n 's/^go //p' go.mod)
  have_version=$(cd / && go env GOVERSION) || have_version=
  have_version=${have_version#go}
  have_version=${have_version%% *}
  newer() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }
  if newer "${have_version:-0}" "$wanted"; then return; fi
  if newer "${have_version:-0}" 1.21; then
    export GOTOOLCHAIN=auto # some distributions switch that off
    return
  fi
  local arch module dir
  case $(uname -m) in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
    *) die "Go $have_version is too old. Install Go $wanted or later from https://go.dev/dl/, then run this again." ;;
  esac
  module=golang.org/toolchain@v0.0.1-go$wanted.linux-$arch
  say "Go $have_version is too old: fetching Go $wanted"
  (cd / && GO111MODULE=on go mod download "$module") >&2 ||
    die "That failed. Install Go $wanted or later from https://go.dev/dl/, then run this again."
  dir=$(cd / && go env GOMODCACHE)/$module
  # An old Go unpacks modules without their executable bits.
  chmod -R u+x "$dir/bin" "$dir/pkg/tool"
  export PATH=$dir/bin:$PATH GOROOT=$dir GOTOOLCHAIN=local
}

# build_player bundles the web player; npm install runs when the lock changed.
build_player() {
  local node
  node=$(node -p 'process.versions.node.split(".")[0]')
  [ "$node" -ge 18 ] || die "Node.js $node is too old to build the player: install 18 or later from https://nodejs.org, then run this again."
  (
    set -e
    cd assets/player
    if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
      say "Installing what the player is built with"
      npm ci --no-audit --no-fund --loglevel=error >&2
    fi
    node build.mjs >&2
  )
}

tags=nolibopusfile # hraban/opus without libopusfile and libogg

# build_relay builds bin/earshot-relay, which needs nothing but the kernel.
build_relay() {
  CGO_ENABLED=0 go build -buildvcs=auto -trimpath -o bin/earshot-relay ./app/relay >&2
}

# build_app builds bin/earshot.
build_app() {
  go build -buildvcs=auto -tags $tags -trimpath -o bin/earshot ./app >&2
}

need_to_build_windows() {
  need 'have x86_64-w64-mingw32-gcc' gcc-mingw-w64-x86-64 mingw64-gcc mingw-w64-gcc
  need 'have make' make make make
}

# for_windows COMMAND... runs it with Go set up to build for Windows.
for_windows() {
  local opus
  opus=$(opus_for x86_64-w64-mingw32) || return
  PKG_CONFIG_LIBDIR=$opus/lib/pkgconfig CGO_ENABLED=1 GOOS=windows GOARCH=amd64 CC=x86_64-w64-mingw32-gcc CGO_CFLAGS='-O2 -Wno-stringop-overflow' "$@"
}

# build_windows [FLAG...] builds bin/earshot.exe, which needs no DLL but the
# system's. As a windowsgui program it opens no console window at a login.
build_windows() {
  for_windows go build -buildvcs=auto -tags $tags -trimpath -ldflags '-H windowsgui -s -w' -o bin/earshot.exe "$@" ./app >&2
}

need_wine() {
  need_to_build_windows
  need 'have wine && [ -e /usr/lib/wine/wine64 ]' 'wine wine64' wine wine
}

# for_wine COMMAND... runs it with what Wine needs in the environment: the
# folder bin/wine, made anew by wine_prefix, and neither a display nor a sound
# server.
for_wine() {
  env -u DISPLAY -u WAYLAND_DISPLAY -u XDG_CONFIG_HOME -u XDG_DATA_HOME WINEPREFIX="$PWD/bin/wine" WINEDEBUG=-all \
    WINEDLLOVERRIDES='mscoree,mshtml=' PULSE_SERVER=none "$@"
}

# wine_prefix makes a Windows of its own for the tests, with what Wine 8 lacks
# for Go programs (build/wine.c).
wine_prefix() {
  if [ -e bin/wine ]; then
    for_wine wineserver -k || true
    rm -rf bin/wine
  fi
  mkdir -p bin
  for_wine wineboot --init >bin/wine.log 2>&1 || { cat bin/wine.log >&2; die "Wine made no Windows."; }
  x86_64-w64-mingw32-gcc -O2 -Wall -shared -o bin/wine/drive_c/windows/system32/bcryptprimitives.dll build/wine.c -ladvapi32
}

# for_darwin COMMAND... runs it with Go set up to type-check for macOS, for which
# nothing can be built elsewhere.
for_darwin() { CGO_ENABLED=1 GOOS=darwin GOARCH=arm64 CC=$PWD/build/darwin-cc "$@"; }
