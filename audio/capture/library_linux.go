package capture

// miniaudio says the same where it can't load libpulse and where it can't
// connect.

// #cgo LDFLAGS: -ldl
// #include <dlfcn.h>
// static int has_library(void) {
//	void *library = dlopen("libpulse.so.0", RTLD_LAZY);
//	if (library) dlclose(library);
//	return library != 0;
// }
import "C"

// hasLibrary tells whether there is the library that miniaudio talks to sound
// servers with.
func hasLibrary() bool { return C.has_library() != 0 }
