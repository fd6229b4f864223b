// Reads a file again and again: rereader DIR FILE MIB READERS random|stream|swap. Makes FILE, of MIB MiB, on the disk
// and out of the page cache, joins the group DIR and has READERS processes read it until they are ended. random: pages
// here and there, each as likely; stream: from the beginning to the end. swap: MIB MiB of memory instead of a file.
// Prints "reading" when they begin.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static char block[64 * 1024];

static int failed(const char* what) {
  fprintf(stderr, "rereader: %s: %s\n", what, strerror(errno));
  return 1;
}

static uint64_t next(uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static int read_on(const char* path, off_t size, int at_random, uint64_t seed) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const off_t page = 4096;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return failed(path);
  // All of it once, so that the group is full soon; then without reading ahead.
  for (off_t at = 0; at_random && at < size; at += sizeof block) {
    if (pread(file, block, sizeof block, at) != sizeof block) return failed("read");
  }
  if (at_random) posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM);
  for (off_t at = 0;; at = (at + (off_t)sizeof block) % size) {
    off_t where = at_random ? (off_t)(next(&seed) % (uint64_t)(size / page)) * page : at;
    size_t bytes = at_random ? (size_t)page : sizeof block;
    if (pread(file, block, bytes, where) != (ssize_t)bytes) return failed("read");
  }
}

// One half of it for a while, then the other: the kernel takes for pages in use what was used more than once.
static int use(size_t size, uint64_t seed) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  char* memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return failed("mmap");
  madvise(memory, size, MADV_NOHUGEPAGE);
  for (size_t at = 0; at < size; at += 4096) memory[at] = 1;
  const size_t half = size / 2;
  for (char* from = memory;; from = from == memory ? memory + half : memory) {
    for (size_t i = 0; i < 8 * half / 4096; i++) from[next(&seed) % half]++;
  }
}

static int join_and_say(const char* dir) {
  char path[4096];
  snprintf(path, sizeof path, "%s/cgroup.procs", dir);
  int procs = open(path, O_WRONLY | O_CLOEXEC);
  if (procs < 0 || write(procs, "0", 1) != 1) return failed(path);
  printf("reading\n");
  fflush(stdout);
  return 0;
}

static int work(char** argv, off_t size, uint64_t seed) {
  if (strcmp(argv[5], "swap") == 0) return use((size_t)size, seed);
  return read_on(argv[2], size, strcmp(argv[5], "random") == 0, seed);
}

static int make_file(const char* path, off_t size) {
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return failed(path);
  for (off_t at = 0; at < size; at += sizeof block) {
    if (pwrite(file, block, sizeof block, at) != sizeof block) return failed("write");
  }
  if (fsync(file) != 0) return failed("fsync");
  // Pages that are cached are charged to whoever has read them first.
  if (posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) != 0) return failed("fadvise");
  close(file);
  return 0;
}

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const off_t size = (off_t)atol(argv[3]) << 20;
  if (strcmp(argv[5], "swap") != 0 && make_file(argv[2], size) != 0) return 1;
  if (join_and_say(argv[1]) != 0) return 1;
  for (int i = 1; i < atoi(argv[4]); i++) {
    pid_t child = fork();
    if (child < 0) return failed("fork");
    if (child == 0) return work(argv, size, 88172645463325252u + (uint64_t)i);
  }
  return work(argv, size, 88172645463325252u);
}
