// For `allocations`: an LD_PRELOAD library that counts each thread's calls of the allocator and of
// mmap and brk, from outside the code that is measured. The counts lie in the shared file
// COUNT_MALLOC_FILE, where another process reads them at any time:
//   a header of 64 bytes (the number of slots taken), then slots of 64 bytes, one for each thread:
//   thread id, then the counts of malloc, calloc, realloc, free, aligned and mmap/munmap/brk calls.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { kSlots = 1023, kMalloc = 0, kCalloc, kRealloc, kFree, kAligned, kMap };
struct Slot {
  uint64_t tid;
  uint64_t counts[7];
};
struct Table {
  _Atomic uint64_t used;
  uint64_t padding[7];
  struct Slot slots[kSlots];
};

static struct Table* table;
static __thread struct Slot* mine __attribute__((tls_model("initial-exec")));

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void __libc_free(void*);
extern void* __libc_memalign(size_t, size_t);

__attribute__((constructor)) static void open_table(void) {
  const char* name = getenv("COUNT_MALLOC_FILE");
  if (!name) return;
  int fd = open(name, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* at = (void*)syscall(SYS_mmap, 0, sizeof(struct Table), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_POPULATE, fd, 0);
  close(fd);
  if (at != MAP_FAILED) table = at;
}

static void count(int what) {
  if (!table) return;
  if (!mine) {
    uint64_t slot = atomic_fetch_add(&table->used, 1);
    if (slot >= kSlots) return;
    mine = &table->slots[slot];
    mine->tid = (uint64_t)syscall(SYS_gettid);
  }
  mine->counts[what]++;
}

void* malloc(size_t size) {
  count(kMalloc);
  return __libc_malloc(size);
}
void* calloc(size_t n, size_t size) {
  count(kCalloc);
  return __libc_calloc(n, size);
}
void* realloc(void* at, size_t size) {
  count(kRealloc);
  return __libc_realloc(at, size);
}
void free(void* at) {
  if (at) count(kFree);
  __libc_free(at);
}
void* memalign(size_t alignment, size_t size) {
  count(kAligned);
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  count(kAligned);
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** out, size_t alignment, size_t size) {
  count(kAligned);
  *out = __libc_memalign(alignment, size);
  return *out ? 0 : ENOMEM;
}

// As the C library passes them on.
void* mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) {
  count(kMap);
  return (void*)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}
void* mmap64(void* at, size_t size, int protection, int flags, int fd, off_t offset) {
  return mmap(at, size, protection, flags, fd, offset);
}
int munmap(void* at, size_t size) {
  count(kMap);
  return (int)syscall(SYS_munmap, at, size);
}
void* sbrk(intptr_t by) {
  static void* (*next)(intptr_t);
  if (!next) next = (void* (*)(intptr_t))dlsym(RTLD_NEXT, "sbrk");
  count(kMap);
  return next(by);
}
int brk(void* at) {
  static int (*next)(void*);
  if (!next) next = (int (*)(void*))dlsym(RTLD_NEXT, "brk");
  count(kMap);
  return next(at);
}
