# The package for macOS. Sourced by build/package, on a Mac.

# package_macos makes Earshot.app, for the kind of Mac that it is made on, in a
# zip. It is signed for that computer only ("ad hoc"): others open it by a right
# click and Open, the first time.
package_macos() {
  local arch app=$stage/macos/Earshot.app size iconset=$stage/macos/earshot.iconset
  arch=$(go env GOARCH)
  say "Building for macOS on $arch"
  mkdir -p "$app/Contents/MacOS" "$app/Contents/Resources" "$iconset"
  # In a folder without the dynamic library the linker takes the archive.
  mkdir -p "$stage/macos/lib"
  cp "$(pkg-config --variable=libdir opus)/libopus.a" "$stage/macos/lib/"
  CGO_ENABLED=1 CGO_LDFLAGS="-O2 -g -L$stage/macos/lib" \
    go_build -ldflags "$ldflags" -o "$app/Contents/MacOS/earshot"
  if otool -L "$app/Contents/MacOS/earshot" | grep -q libopus; then
    die "The program is linked to a libopus that other Macs don't have."
  fi
  filled build/packaging/macos/Info.plist >"$app/Contents/Info.plist"
  plutil -lint "$app/Contents/Info.plist" >&2
  for size in 16 32 128 256 512; do
    cp build/packaging/icons/$size.png "$iconset/icon_${size}x$size.png"
  done
  for size in 16 128 256; do # twice as dense
    cp build/packaging/icons/$((2 * size)).png "$iconset/icon_${size}x$size@2x.png"
  done
  cp build/packaging/icons/64.png "$iconset/icon_32x32@2x.png"
  iconutil --convert icns --output "$app/Contents/Resources/earshot.icns" "$iconset"
  notices >"$app/Contents/Resources/notices.txt"
  licence >"$app/Contents/Resources/licence.txt"
  chmod -R u=rwX,go=rX "$app"
  codesign --force --sign - --timestamp=none "$app"
  codesign --verify --strict "$app"
  find "$app" -exec touch -h -t "$(date -r "$SOURCE_DATE_EPOCH" +%Y%m%d%H%M.%S)" {} +
  (cd "$stage/macos" && find Earshot.app | sort | zip -q -X -@ "$packages/earshot-$version-macos-$arch.zip")
}
