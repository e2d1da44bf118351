# What all packages share. Sourced by build/package after lib.sh.

packages=$PWD/bin/packages
stage=$PWD/bin/packaging # what goes into them

# know_version sets release to the version in app/version.go; snapshot to
# gitTIME.COMMIT unless the commit has the tag vRELEASE, so that a snapshot is
# newer than those before it and older than the release; version to both, as
# file names have it; and SOURCE_DATE_EPOCH to when the commit was made, which
# is the time of everything in the packages (reproducible-builds.org).
know_version() {
  release=$(sed -n 's/^const version = "\(.*\)"$/\1/p' app/version.go)
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) ||
    die "Packages are made of a commit: run this in a clone of the repository."
  export SOURCE_DATE_EPOCH
  snapshot=
  if ! git tag --points-at HEAD | grep -qxF "v$release"; then
    snapshot=git$(git log -1 --format=%cd --date=format-local:%Y%m%d%H%M%S).$(git log -1 --format=%H | cut -c 1-7)
  fi
  if [ -n "$(git status --porcelain)" ]; then
    say "There are changes that are in no commit: the packages have them, too, and are named for it."
    snapshot=${snapshot:+$snapshot.}changed
  fi
  version=$release${snapshot:+-$snapshot}
}

# ldflags strip the program of what only a debugger needs, and of an ID that
# differs by the path it was built at.
ldflags='-s -w -buildid='

# go_build ARG... builds the program as packages have it. Its version says
# which commit it is of.
go_build() {
  go build -buildvcs=true -tags $tags -trimpath "$@" ./app >&2
}

# licence prints under which terms Earshot is had.
licence() {
  echo "Copyright $(git log -1 --format=%cd --date=format-local:%Y) the authors of Earshot. They have chosen no licence yet."
  echo "It carries work of others; notices.txt, beside this file, has their licences."
}

# notices [PACKAGE] prints the licences of all that the program carries: the modules that
# go list names for the GOOS and GOARCH that are set, Go's own library, libopus,
# and what the player says. A module without one is an error.
notices() {
  local path version dir file found
  heading() { printf '\n\n%s\n%s\n\n' "$1" "${1//?/-}"; }
  echo "Earshot carries work of others, under these licences."
  # A pipe would hide the error of what is before it.
  local modules
  modules=$(CGO_ENABLED=1 go list -tags $tags -deps \
    -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' "${1:-./app}" | sort -u)
  while read -r path version dir; do
    found=
    for file in "$dir"/LICENSE* "$dir"/LICENCE* "$dir"/COPYING* "$dir"/NOTICE* "$dir"/UNLICENSE*; do
      [ -f "$file" ] || continue
      [ -n "$found" ] || heading "$path $version"
      cat "$file"
      found=1
    done
    [ -n "$found" ] || die "$path has no licence file: look what its licence is, and teach build/packaging/common.sh."
  done <<<"$modules"
  heading "Go, its standard library"
  cat "$(go env GOROOT)/LICENSE"
  heading "libopus"
  cat assets/player/notices/libopus.txt
  heading "The page"
  cat assets/player/dist/static/licenses-*.txt
}

# filled FILE prints a file with @NAME@ replaced.
filled() {
  sed -e "s/@VERSION@/$version/g" -e "s/@RELEASE@/$release/g" \
    -e "s/@DATE@/$(git log -1 --format=%cd --date=format-local:%Y-%m-%d)/g" "$1"
}

# sums prints SHA-256 checksums, where a Mac calls that by another name, too.
sums() {
  if have sha256sum; then sha256sum -- "$@"; else shasum -a 256 -- "$@"; fi
}
