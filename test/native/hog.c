// A process for tests that uses memory by commands, one per line on stdin, one answer per line:
//
//   fill BYTES   map and touch BYTES more: "filled BYTES" (never, while out of memory)
//   huge BYTES   the same in huge pages, where the kernel has them to give
//   share BYTES  map BYTES of a new memfd, untouched: "shared FD"; its pages stay while it is open
//   again        touch all of it once more: "touched BYTES"
//   free         unmap everything: "freed"
//   fork         fork a child that sleeps: "forked PID"
//   bomb         fork as fast as it goes, the children too: "bombing" (bound it with a pids group!)
//   pid          "pid PID"
//   stall        when the longest touch of the last fill began, CLOCK_MONOTONIC: "stalled NS"
//   crowd DIR N BYTES   fork N children, the i-th of which joins DIR/i and touches BYTES:
//                "crowded N"
//
// Started as `hog DIR`, it joins the v1 or v2 group DIR first. Ends with stdin.
// Its own buffers are touched before it joins, so that it can answer in a full group.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static struct {
  char* at;
  size_t size;
} maps[1024];
static int count;

static void say(const char* text, long long number) {
  static char out[128];
  int n = snprintf(out, sizeof out, "%s %lld\n", text, number);
  if (write(1, out, (size_t)n) < 0) _exit(3);
}

static long long now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

// Touches each page; returns when the longest touch began.
static long long touch(char* p, size_t size) {
  long long longest = 0, began = 0, before = now();
  for (size_t i = 0; i < size; i += 4096) {
    ((volatile char*)p)[i] = 1;
    long long after = now();
    if (after - before > longest) {
      longest = after - before;
      began = before;
    }
    before = after;
  }
  return began;
}

static int join(const char* group) {
  char file[4096];
  snprintf(file, sizeof file, "%s/cgroup.procs", group);
  int fd = open(file, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "0", 1) < 0) return errno;
  close(fd);
  return 0;
}

static void crowd(const char* arguments) {
  char dir[3072], group[4000];
  int count;
  size_t size;
  if (sscanf(arguments, "%3071s %d %zu", dir, &count, &size) != 3) _exit(5);
  signal(SIGCHLD, SIG_IGN);  // no process waits for them
  for (int i = 0; i < count; i++) {
    pid_t pid = fork();
    if (pid < 0) _exit(6);
    if (pid > 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(group, sizeof group, "%s/%d", dir, i);
    if (join(group) != 0) _exit(7);
    char* p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(p, size, MADV_NOHUGEPAGE);
    touch(p, size);
    for (;;) pause();
  }
  say("crowded", count);
}

int main(int argc, char** argv) {
  static char line[4096];
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int err = argc > 1 ? join(argv[1]) : 0;
  if (err != 0) {
    say("failed", err);
    return 2;
  }
  say("pid", getpid());
  size_t used = 0;
  long long stalled = 0;
  for (;;) {
    ssize_t n = read(0, line + used, 1);
    if (n <= 0) _exit(0);  // exit() would touch memory, and wait in a full group
    if (line[used] != '\n') {
      if (++used >= sizeof line) return 4;
      continue;
    }
    line[used] = 0;
    used = 0;
    bool huge = strncmp(line, "huge ", 5) == 0;
    if (huge || strncmp(line, "fill ", 5) == 0) {
      size_t size = strtoull(line + 5, 0, 10);
      char* p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (p == MAP_FAILED || count == 1024) {
        say("failed", errno);
        continue;
      }
      madvise(p, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
      maps[count].at = p;
      maps[count++].size = size;
      stalled = touch(p, size);
      say("filled", (long long)size);
    } else if (strncmp(line, "share ", 6) == 0) {
      size_t size = strtoull(line + 6, 0, 10);
      int fd = memfd_create("hog", MFD_CLOEXEC);
      char* p = MAP_FAILED;
      if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
        p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      if (p == MAP_FAILED || count == 1024) {
        say("failed", errno);
        continue;
      }
      maps[count].at = p;
      maps[count++].size = size;
      say("shared", fd);
    } else if (strncmp(line, "write ", 6) == 0) {
      // By system calls, into a file without a name; ends with 7 when one fails.
      static char block[4096];
      int fd = memfd_create("hog", MFD_CLOEXEC);
      memset(block, 1, sizeof block);
      for (size_t left = strtoull(line + 6, 0, 10); left >= sizeof block; left -= sizeof block) {
        if (write(fd, block, sizeof block) < 0) {
          close(fd);
          _exit(7);
        }
      }
      say("written", fd);
    } else if (strcmp(line, "again") == 0) {
      long long touched = 0;
      for (int i = 0; i < count; i++) {
        touch(maps[i].at, maps[i].size);
        touched += (long long)maps[i].size;
      }
      say("touched", touched);
    } else if (strcmp(line, "free") == 0) {
      while (count) {
        count--;
        munmap(maps[count].at, maps[count].size);
      }
      say("freed", 0);
    } else if (strcmp(line, "fork") == 0) {
      pid_t pid = fork();
      if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) pause();
      }
      say("forked", pid);
    } else if (strcmp(line, "bomb") == 0) {
      say("bombing", getpid());
      nice(19);  // what is tested shall get to run beside it
      for (;;) fork();
    } else if (strncmp(line, "crowd ", 6) == 0) {
      crowd(line + 6);
    } else if (strcmp(line, "stall") == 0) {
      say("stalled", stalled);
    } else if (strcmp(line, "pid") == 0) {
      say("pid", getpid());
    } else
      say("unknown", 0);
  }
}
