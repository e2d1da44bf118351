// bcryptprimitives.dll for tests under Wine 8, which lacks two things that every
// Go program asks Windows for:
//
// ProcessPrng, random bytes, in this very DLL; and an answer of
// NtSetInformationFile to FileDispositionInformationEx that Go understands, so
// that it deletes files the older way. Go loads this DLL first of all.
#include <string.h>
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID, ULONG); // RtlGenRandom

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T n)
{
	return SystemFunction036(data, (ULONG)n);
}

typedef LONG NTAPI set_information(HANDLE, PVOID, PVOID, ULONG, int);

static set_information *original;

static LONG NTAPI answer(HANDLE file, PVOID status, PVOID information, ULONG size, int class)
{
	if (class == 64)
		return 0xC0000003; // STATUS_INVALID_INFO_CLASS
	return original(file, status, information, size, class);
}

BOOL WINAPI DllMain(HINSTANCE dll, DWORD reason, LPVOID reserved)
{
	// Wine's system calls are some 30 bytes that run at any place.
	BYTE *function = (BYTE *)GetProcAddress(GetModuleHandleA("ntdll.dll"), "NtSetInformationFile");
	BYTE jump[12] = {0x48, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xE0}; // mov rax, to; jmp rax
	void *to = answer;
	DWORD protection;

	if (reason != DLL_PROCESS_ATTACH)
		return TRUE;
	original = VirtualAlloc(NULL, 64, MEM_COMMIT, PAGE_EXECUTE_READWRITE);
	if (!original || !VirtualProtect(function, 64, PAGE_EXECUTE_READWRITE, &protection))
		return FALSE;
	memcpy(original, function, 64);
	memcpy(jump + 2, &to, sizeof to);
	memcpy(function, jump, sizeof jump);
	return TRUE;
}
