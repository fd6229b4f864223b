// The floor of `wakeup`: the least that a program can do to be notified of an OOM. Registers for
// memory.oom_control of the group DIR, prints "armed", and then only reads its eventfd; the times of
// its wake-ups are kept and printed at SIGTERM, so that printing disturbs nothing.
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { kMost = 4096 };
static struct {
  long long at;
  unsigned long long count;
} seen[kMost];
static volatile int count;

// Prints from the handler: whether read() is entered yet or not, nothing else uses stdio then.
static void stop(int signal) {
  (void)signal;
  for (int i = 0; i < count; i++) dprintf(1, "%lld %llu\n", seen[i].at, seen[i].count);
  _exit(0);
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGTERM, stop);
  for (int i = 0; i < kMost; i++) seen[i].at = 0;  // resident from now on

  int dir = open(argv[1], O_PATH | O_DIRECTORY);
  int events = eventfd(0, EFD_CLOEXEC);
  int file = openat(dir, "memory.oom_control", O_RDONLY);
  int control = openat(dir, "cgroup.event_control", O_WRONLY);
  char line[64];
  int n = snprintf(line, sizeof line, "%d %d", events, file);
  if (write(control, line, (size_t)n) != n) {
    perror("cgroup.event_control");
    return 1;
  }
  close(file);
  close(control);
  puts("armed");
  fflush(stdout);

  uint64_t value;
  while (count < kMost && read(events, &value, sizeof value) == sizeof value) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    seen[count].at = ts.tv_sec * 1000000000LL + ts.tv_nsec;
    seen[count].count = value;
    count = count + 1;
  }
  return 1;
}
