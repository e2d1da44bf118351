//go:build linux

package packaging

import (
	"debug/elf"
	"fmt"
	"image"
	_ "image/png"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// newestLibc is what the packages ask for: Debian 12, Ubuntu 22.04, Fedora 35
// and RHEL 9 have it.
const newestLibc = "GLIBC_2.34"

// linuxFiles are those of every package for Linux, below its prefix.
var linuxFiles = []string{
	"bin/earshot",
	"share/applications/earshot.desktop",
	"share/doc/earshot/copyright",
	"share/doc/earshot/notices.txt",
	"share/icons/hicolor/128x128/apps/earshot.png",
	"share/icons/hicolor/16x16/apps/earshot.png",
	"share/icons/hicolor/24x24/apps/earshot.png",
	"share/icons/hicolor/256x256/apps/earshot.png",
	"share/icons/hicolor/32x32/apps/earshot.png",
	"share/icons/hicolor/48x48/apps/earshot.png",
	"share/icons/hicolor/512x512/apps/earshot.png",
	"share/icons/hicolor/64x64/apps/earshot.png",
	"share/icons/hicolor/scalable/apps/earshot.svg",
	"share/man/man1/earshot.1.gz",
	"share/metainfo/org.earshot.earshot.metainfo.xml",
}

// unpack returns a folder with what a package has below its prefix.
func unpack(t *testing.T, path string) string {
	t.Helper()
	dir := t.TempDir()
	if strings.HasSuffix(path, ".deb") {
		output(t, "dpkg", "dpkg-deb", "--extract", path, dir)
	} else {
		output(t, "libarchive-tools", "bsdtar", "-xf", path, "-C", dir)
	}
	if strings.HasSuffix(path, ".tar.gz") {
		return filepath.Join(dir, strings.TrimSuffix(filepath.Base(path), ".tar.gz"))
	}
	return filepath.Join(dir, "usr")
}

func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(dir, path)
			files = append(files, name)
			info, infoErr := e.Info()
			want := fs.FileMode(0o644)
			if strings.HasPrefix(name, "bin/") {
				want = 0o755
			}
			if infoErr == nil && info.Mode() != want {
				t.Errorf("%s: mode %v", name, info.Mode())
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Every package for Linux has the same files and the same program, which runs,
// and needs no more than the package asks for.
func TestLinuxPackages(t *testing.T) {
	tr := pack(t)
	for _, arch := range []struct {
		name    string
		endings []string
		machine elf.Machine
	}{
		{"amd64", []string{"_amd64.deb", ".x86_64.rpm", "-x86_64.pkg.tar.zst", "-linux-amd64.tar.gz"}, elf.EM_X86_64},
		{"arm64", []string{"_arm64.deb", ".aarch64.rpm", "-aarch64.pkg.tar.zst", "-linux-arm64.tar.gz"}, elf.EM_AARCH64},
	} {
		t.Run(arch.name, func(t *testing.T) {
			var program, first string
			for _, ending := range arch.endings {
				dir := unpack(t, tr.package_(t, ending))
				want := slices.Clone(linuxFiles)
				if strings.HasSuffix(ending, ".deb") {
					want = append(want, "share/doc/earshot/changelog.gz")
				}
				slices.Sort(want)
				if got := filesIn(t, dir); !slices.Equal(got, want) {
					t.Errorf("%s has\n%s\nwant\n%s", ending, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				program = filepath.Join(dir, "bin/earshot")
				if hash := sum(t, program); first == "" {
					first = hash
				} else if hash != first {
					t.Errorf("%s has another program", ending)
				}
			}
			needs(t, program, arch.machine)
			version := output(t, "qemu-user-static", "env", append(emulator(arch.name), program, "version")...)
			if !strings.Contains(version, "linux/"+arch.name) || !strings.Contains(version, "libopus") {
				t.Errorf("its version:\n%s", version)
			}
		})
	}
}

// emulator is what runs programs for another processor than this computer's.
func emulator(arch string) []string {
	if arch == runtime.GOARCH {
		return nil
	}
	triple, machine := "x86_64-linux-gnu", "x86_64"
	if arch == "arm64" {
		triple, machine = "aarch64-linux-gnu", "aarch64"
	}
	// The cross compiler's libc, by its own loader: with an option to look for
	// libraries elsewhere, qemu would look for all other files there, too.
	loader, _ := filepath.Glob("/usr/" + triple + "/lib/ld-linux-*.so.?")
	if len(loader) == 0 {
		loader = []string{"/usr/" + triple + "/lib/ld-linux.so"} // says what is missing
	}
	return []string{"qemu-" + machine + "-static", loader[0], "--library-path", "/usr/" + triple + "/lib"}
}

// needs checks which libraries a program is linked to, and how new.
func needs(t *testing.T, program string, machine elf.Machine) {
	t.Helper()
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if file.Machine != machine {
		t.Errorf("it is for %v", file.Machine)
	}
	libraries, err := file.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, library := range libraries {
		if !regexp.MustCompile(`^(libc|libm|ld-linux-.*)\.so`).MatchString(library) {
			t.Errorf("it needs %s", library)
		}
	}
	symbols, err := file.ImportedSymbols()
	if err != nil {
		t.Fatal(err)
	}
	order := func(version string) string { // as text that sorts
		return regexp.MustCompile(`\d+`).ReplaceAllStringFunc(version, func(n string) string {
			return strings.Repeat("0", 6-len(n)) + n
		})
	}
	for _, s := range symbols {
		if strings.HasPrefix(s.Version, "GLIBC_") && order(s.Version) > order(newestLibc) {
			t.Errorf("%s is of %s: the packages ask for %s", s.Name, s.Version, newestLibc)
		}
	}
}

// What packages ask of a system, by their own tools.
func TestDependencies(t *testing.T) {
	tr := pack(t)
	const number = `0\.1\.\d+~git\d{14}\.[0-9a-f]{7}`
	deb := output(t, "dpkg", "dpkg-deb", "--field", tr.package_(t, "_arm64.deb"))
	rpm := output(t, "rpm", "rpm", "--query", "--info", "--requires", "--recommends", "--package", tr.package_(t, ".aarch64.rpm"))
	arch := output(t, "libarchive-tools", "bsdtar", "-xOf", tr.package_(t, "-aarch64.pkg.tar.zst"), ".PKGINFO")
	for _, want := range []struct{ text, pattern string }{
		{deb, `Version: ` + number},
		{deb, `Architecture: arm64`},
		{deb, `Depends: libc6 \(>= 2\.34\), libpulse0`},
		{deb, `Recommends: xclip, wl-clipboard, xdg-utils`},
		{rpm, `Version +: ` + number},
		{rpm, `Architecture: aarch64`},
		{rpm, `libpulse\.so\.0\(\)\(64bit\)`},
		{rpm, `libc\.so\.6\(GLIBC_2\.34\)\(64bit\)`},
		{rpm, `xclip`},
		{arch, `pkgver = ` + strings.Replace(number, "~", "", 1) + `-1`},
		{arch, `arch = aarch64`},
		{arch, `depend = libpulse`},
	} {
		if !regexp.MustCompile(`(?m)^` + want.pattern + `$`).MatchString(want.text) {
			t.Errorf("nothing matches %s in:\n%s", want.pattern, want.text)
		}
	}
}

// Desktops, software centres and man take the files.
func TestFilesAreValid(t *testing.T) {
	tr := pack(t)
	deb := tr.package_(t, "_"+runtime.GOARCH+".deb")
	dir := unpack(t, deb)
	file := func(name string) string { return filepath.Join(dir, "share", name) }
	if said := output(t, "desktop-file-utils", "desktop-file-validate", file("applications/earshot.desktop")); said != "" {
		t.Error(said)
	}
	output(t, "appstream", "appstreamcli", "validate", "--no-net", "--strict", "--pedantic", file("metainfo/org.earshot.earshot.metainfo.xml"))
	if said := output(t, "man-db", "man", "--warnings", "--local-file", "--encoding=UTF-8", "--ditroff", "--troff-device=utf8", file("man/man1/earshot.1.gz")); strings.Contains(said, "warning") {
		t.Error(said)
	}
	icons, err := filepath.Glob(file("icons/hicolor/*x*/apps/earshot.png"))
	if err != nil || len(icons) != 8 {
		t.Errorf("icons: %v, %v", icons, err)
	}
	for _, icon := range icons {
		f, err := os.Open(icon)
		if err != nil {
			t.Fatal(err)
		}
		size, _, err := image.DecodeConfig(f)
		f.Close()
		folder := fmt.Sprintf("/%dx%d/", size.Width, size.Height)
		if err != nil || !strings.Contains(icon, folder) {
			t.Errorf("%s: %s, %v", icon, folder, err)
		}
	}
	for line := range strings.Lines(output(t, "lintian", "lintian", "--allow-root", "--suppress-tags", "hardening-no-pie", deb)) {
		t.Error(line) // a Go program has no buffers to overflow, and less to relocate
	}
	notices, err := os.ReadFile(file("doc/earshot/notices.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []string{"github.com/gorilla/websocket v", "libopus", "Go, its standard library", "opus-decoder", "Redistribution and use in source and binary forms"} {
		if !strings.Contains(string(notices), of) {
			t.Errorf("the notices lack %q", of)
		}
	}
}

// The man page has every command and flag that the program's own help has.
func TestManPage(t *testing.T) {
	tr := pack(t)
	dir := unpack(t, tr.package_(t, "_"+runtime.GOARCH+".deb"))
	program := filepath.Join(dir, "bin/earshot")
	page := output(t, "man-db", "man", "--local-file", filepath.Join(dir, "share/man/man1/earshot.1.gz"))
	page = regexp.MustCompile(`.\x08`).ReplaceAllString(page, "")
	has := func(name string) bool {
		return regexp.MustCompile(`(?m)^ +` + regexp.QuoteMeta(name) + `([ =]|$)`).MatchString(page)
	}
	flags := regexp.MustCompile(`(?m)^ +(?:-., )?(--[a-z-]+)`)
	help := output(t, "", program, "--help")
	_, list, _ := strings.Cut(help, "\nCommands:\n")
	commands := regexp.MustCompile(`(?m)^  ([a-z]+(?: [a-z]+)*)  `).FindAllStringSubmatch(list, -1)
	if len(commands) < 10 {
		t.Fatalf("commands: %v", commands)
	}
	for _, command := range commands {
		if !has(command[1]) {
			t.Errorf("the page lacks %q", command[1])
		}
		help += output(t, "", program, append(strings.Fields(command[1]), "--help")...)
	}
	for _, flag := range flags.FindAllStringSubmatch(help, -1) {
		if flag[1] != "--help" && !has(flag[1]) {
			t.Errorf("the page lacks %s", flag[1])
		}
	}
}
