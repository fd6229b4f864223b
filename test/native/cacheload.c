// A load of page cache: cacheload DIR FILE MIB COUNTER r|rw. Joins the group DIR, then goes through
// FILE, of MIB MiB, again and again until it is ended: reads a block, and the one half a file
// ahead; rw: writes the first of them. How many bytes have gone either way so far is in the first
// eight bytes of COUNTER. The file is written once before, and is on the disk.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char block[64 * 1024];

static int failed(const char* what) {
  fprintf(stderr, "cacheload: %s: %s\n", what, strerror(errno));
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  int writes = strcmp(argv[5], "rw") == 0;
  char path[4096];
  snprintf(path, sizeof path, "%s/cgroup.procs", argv[1]);
  int procs = open(path, O_WRONLY | O_CLOEXEC);
  if (procs < 0 || write(procs, "0", 1) != 1) return failed(path);
  int counter = open(argv[4], O_RDWR | O_CLOEXEC);
  if (counter < 0) return failed(argv[4]);
  volatile uint64_t* done =
      mmap(NULL, sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED, counter, 0);
  if (done == MAP_FAILED) return failed("mmap");
  int file = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return failed(argv[2]);
  const off_t size = (off_t)atol(argv[3]) << 20;
  for (off_t at = 0; at < size; at += sizeof block) {
    if (pwrite(file, block, sizeof block, at) != sizeof block) return failed("write");
  }
  if (fsync(file) != 0) return failed("fsync");
  for (off_t at = 0;; at = (at + sizeof block) % size) {
    ssize_t first =
        writes ? pwrite(file, block, sizeof block, at) : pread(file, block, sizeof block, at);
    if (first != sizeof block) return failed(writes ? "write" : "read");
    off_t ahead = (at + size / 2) % size;
    if (pread(file, block, sizeof block, ahead) != sizeof block) return failed("read");
    *done += 2 * sizeof block;
  }
}
