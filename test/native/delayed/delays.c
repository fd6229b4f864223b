// Delays the library's own threads and programs at random, before their system calls: what
// `npm run test:slow` links into the addon, the guardian and the launcher (the linker's --wrap puts
// these functions between them and the C library). No product code knows of it.
//
// The file DELAYS_FILE, written by scripts/slow.mjs, has "SEED PERCENT LONGEST_US PREFIX".
// Without the file nothing is delayed. Only threads whose name begins with PREFIX are; "-" stands
// for all. The n-th call of threads of one name is delayed alike in each run with one seed.
//
// Runs on any thread, also on the sentinel within an episode: it allocates nothing, and has neither
// thread-local storage nor locks.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define NAMES 256

static unsigned long long seed;
static unsigned percent, longest_us;
static char prefix[16];
static uint64_t counts[NAMES];

ssize_t plain_read(int, void*, size_t) __asm__("__real_read");
int plain_openat(int, const char*, int, ...) __asm__("__real_openat");
int plain_close(int) __asm__("__real_close");

__attribute__((constructor)) static void configure(void) {
  char text[128];
  int fd = plain_openat(AT_FDCWD, DELAYS_FILE, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t n = plain_read(fd, text, sizeof text - 1);
  plain_close(fd);
  text[n > 0 ? n : 0] = 0;
  if (sscanf(text, "%llu %u %u %15s", &seed, &percent, &longest_us, prefix) != 4) percent = 0;
  if (strcmp(prefix, "-") == 0) prefix[0] = 0;
}

static uint64_t mixed(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

static void delay(void) {
  char name[17] = "";
  if (percent == 0 || prctl(PR_GET_NAME, name) != 0) return;
  if (strncmp(name, prefix, strlen(prefix)) != 0) return;
  uint64_t thread = 14695981039346656037u;
  for (const char* c = name; *c; c++) thread = (thread ^ (unsigned char)*c) * 1099511628211u;
  uint64_t n = __atomic_fetch_add(&counts[thread % NAMES], 1, __ATOMIC_RELAXED);
  uint64_t chance = mixed(mixed(seed + thread) + n * 0x9e3779b97f4a7c15);
  if (chance % 100 >= percent) return;
  // Most are short, the longest are rare: an episode has some dozens of calls.
  double part = (double)(chance >> 32) / 4294967296.0;
  long ns = (long)(part * part * part * longest_us * 1000);
  int before = errno;
  struct timespec time = {ns / 1000000000, ns % 1000000000};
  clock_nanosleep(CLOCK_MONOTONIC, 0, &time, 0);
  errno = before;
}

// All of them take integers and pointers, which the calling conventions pass in registers (those of
// x86-64 and AArch64; the seventh, of syscall(), where the caller has put it): one shape fits all.
#define DELAYED(name)                                                          \
  long __real_##name();                                                        \
  long __wrap_##name(long a, long b, long c, long d, long e, long f, long g);  \
  long __wrap_##name(long a, long b, long c, long d, long e, long f, long g) { \
    delay();                                                                   \
    return __real_##name(a, b, c, d, e, f, g);                                 \
  }
#include "delays.def"
