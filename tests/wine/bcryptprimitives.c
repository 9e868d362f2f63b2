/* What Rust's standard library takes from bcryptprimitives.dll, for a wine that has none (Debian 12 has wine 8). */
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) {
    while (size > 0) {
        ULONG now = size < 0x10000 ? (ULONG)size : 0x10000;
        if (!RtlGenRandom(data, now)) {
            return FALSE;
        }
        data += now;
        size -= now;
    }
    return TRUE;
}
