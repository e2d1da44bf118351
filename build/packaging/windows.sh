# The packages for Windows. Sourced by build/package.

winres=github.com/tc-hib/go-winres@v0.3.3

need_windows() {
  [ "$manager" = apt-get ] || die "The packages for Windows are made on Debian or Ubuntu, whose compiler and libopus they are built with."
  need_to_build_windows
  need 'have makensis' nsis - -
  need 'have zip' zip - -
}

# package_windows makes the installer and the portable zip.
package_windows() {
  local root=$stage/windows name=earshot-$version-windows-amd64
  say "Building for Windows"
  mkdir -p "$root/$name"
  for_windows go_build -ldflags "-H windowsgui $ldflags" -o "$root/$name/earshot.exe"
  # The icons' paths in it are from where it is.
  filled build/packaging/windows/winres.json >"$root/winres.json"
  cp -R build/packaging/icons "$stage/"
  (cd "$root" && go run $winres patch --in winres.json --no-backup "$name/earshot.exe" >&2)
  GOOS=windows GOARCH=amd64 notices >"$root/$name/notices.txt"
  licence >"$root/$name/licence.txt"
  # What Windows' own editor shows well.
  sed -i 's/\r*$/\r/' "$root/$name/notices.txt" "$root/$name/licence.txt"
  chmod 644 "$root/$name"/* && chmod 755 "$root/$name/earshot.exe"
  find "$root" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +

  say "Packing for Windows"
  (cd "$root" && zip -qXr "$packages/$name.zip" "$name"/{earshot.exe,licence.txt,notices.txt})
  cp build/packaging/icons/earshot.ico "$root/$name/"
  # It looks for files from where its script is.
  cp build/packaging/windows/installer.nsi "$root/$name/"
  makensis -V2 -DVERSION="$version" -DRELEASE="$release" -DOUTPUT="$packages/$name-installer.exe" \
    "$root/$name/installer.nsi" >&2
}
