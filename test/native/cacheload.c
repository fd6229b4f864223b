// A load of page cache: cacheload DIR FILE MIB COUNTER. Joins the group DIR, then writes FILE to so
// many MiB and reads it, again and again until it is ended. How many bytes have gone either way so
// far is in the first eight bytes of COUNTER.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char block[64 * 1024];

static int failed(const char *what) {
  fprintf(stderr, "cacheload: %s: %s\n", what, strerror(errno));
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  char path[4096];
  snprintf(path, sizeof path, "%s/cgroup.procs", argv[1]);
  int procs = open(path, O_WRONLY | O_CLOEXEC);
  if (procs < 0 || write(procs, "0", 1) != 1) return failed(path);
  int counter = open(argv[4], O_RDWR | O_CLOEXEC);
  if (counter < 0) return failed(argv[4]);
  volatile uint64_t *done =
      mmap(NULL, sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED, counter, 0);
  if (done == MAP_FAILED) return failed("mmap");
  int file = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return failed(argv[2]);
  const long blocks = atol(argv[3]) * 16;
  for (;;) {
    for (int reading = 0; reading < 2; reading++) {
      if (lseek(file, 0, SEEK_SET) != 0) return failed("lseek");
      for (long i = 0; i < blocks; i++) {
        ssize_t n = reading ? read(file, block, sizeof block) : write(file, block, sizeof block);
        if (n != sizeof block) return failed(reading ? "read" : "write");
        *done += sizeof block;
      }
    }
  }
}
