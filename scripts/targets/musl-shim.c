// Under this name Debian's libstdc++ asks for glibc's loader: here what that library misses in musl, for
// Bun's musl build, which needs a libstdc++. For trying the targets; nothing of it is in the package.
#include <locale.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <time.h>

char __libc_single_threaded = 0;
char __cpu_model[16];

int __cpu_indicator_init(void) { return 0; }
unsigned long __getauxval(unsigned long type) { return getauxval(type); }
unsigned arc4random(void) {
  unsigned found = 0;
  getrandom(&found, sizeof found, 0);
  return found;
}
size_t __strftime_l(char* to, size_t size, const char* form, const struct tm* at, locale_t locale) {
  return strftime_l(to, size, form, at, locale);
}
int __cxa_thread_atexit_impl(void (*end)(void*), void* of, void* object) { return 0; }
