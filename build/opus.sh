# libopus, built for packages and for other machines than this one. Sourced by
# lib.sh.

# opus_for TRIPLE makes libopus for the machines that the GNU triple names, as
# an archive to be linked into the program, once, and prints its folder. The
# source is Debian's or Ubuntu's own, whose signature apt checks; it is asked
# for with a list of its own, so that nothing about this computer's changes.
opus_for() {
  local triple=$1 kept=${XDG_CACHE_HOME:-$HOME/.cache}/earshot/opus-$1-1
  if [ ! -e "$kept/lib/libopus.a" ]; then
    [ "$manager" = apt-get ] ||
      die "libopus is built from Debian's source, which needs apt. Elsewhere put it into $kept (lib/libopus.a, lib/pkgconfig/opus.pc, include/opus)."
    say "Building libopus for $triple; this takes a minute, once"
    local work mirror codename keys flags=-O2
    # With the default flags Go's link for Windows fails on __memcpy_chk.
    case $triple in *-mingw32) flags='-O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=0' ;; esac
    work=$(mktemp -d)
    . /etc/os-release
    codename=${VERSION_CODENAME:-}
    keys=/usr/share/keyrings/$ID-archive-keyring.gpg
    mirror=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
      sed -n "s/^$codename main //p" | head -n 1)
    [ -n "$mirror" ] && [ -e "$keys" ] || die "apt has no source of $ID's packages here, which libopus comes from."
    mkdir -p "$work/lists/partial" "$work/parts"
    echo "deb-src [signed-by=$keys] $mirror $codename main" >"$work/sources.list"
    ( # each step needs what the one before it made
      cd "$work"
      apt="apt-get -qq -o Dir::Etc::SourceList=$work/sources.list -o Dir::Etc::SourceParts=$work/parts -o Dir::State::Lists=$work/lists"
      apt="$apt -o Dir::Cache::srcpkgcache= -o Dir::Cache::pkgcache= -o APT::Sandbox::User=$(id -un)"
      $apt update
      $apt source --download-only opus
      mkdir source
      tar -xf opus_*.orig.tar.* -C source --strip-components 1
      cd source
      ./configure --quiet --host="$triple" --prefix="$work/made" --enable-static --disable-shared \
        --disable-doc --disable-extra-programs CFLAGS="$flags"
      make --quiet -j"$(nproc)" install
      sed -i 's|^prefix=.*|prefix=${pcfiledir}/../..|' "$work/made/lib/pkgconfig/opus.pc"
    ) >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; die "libopus for $triple could not be built; all of what was said is in $work/log."; }
    mkdir -p "$(dirname "$kept")"
    rm -rf "$kept"
    mv "$work/made" "$kept"
    rm -rf "$work"
  fi
  printf '%s\n' "$kept"
}
