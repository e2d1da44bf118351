package capture

// The binding compiles miniaudio but does not pass on its version. The symbol
// is weak since cgo links each package by itself, too, where it is undefined.

// extern const char *ma_version_string(void) __attribute__((weak));
// static const char *version(void) { return ma_version_string ? ma_version_string() : "unknown"; }
import "C"

// Version returns the version of miniaudio, the library that opens devices:
// "0.11.23".
func Version() string { return C.GoString(C.version()) }
