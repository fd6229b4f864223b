// For `relief`: waits for an OOM of the group DIR and then until its usage has fallen to an eighth of
// the limit. Says "armed", and then "freed NANOSECONDS".
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static unsigned long long number(int fd) {
  char text[32] = "";
  return pread(fd, text, sizeof text - 1, 0) > 0 ? strtoull(text, NULL, 10) : 0;
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int dir = open(argv[1], O_PATH | O_DIRECTORY);
  int events = eventfd(0, EFD_CLOEXEC);
  int file = openat(dir, "memory.oom_control", O_RDONLY);
  int control = openat(dir, "cgroup.event_control", O_WRONLY);
  int usage = openat(dir, "memory.usage_in_bytes", O_RDONLY);
  unsigned long long limit = number(openat(dir, "memory.limit_in_bytes", O_RDONLY));
  char line[64];
  int n = snprintf(line, sizeof line, "%d %d", events, file);
  if (usage < 0 || write(control, line, (size_t)n) != n) {
    perror(argv[1]);
    return 1;
  }
  puts("armed");
  fflush(stdout);
  uint64_t value;
  if (read(events, &value, sizeof value) != sizeof value) return 1;
  long long began = now();
  struct timespec step = {.tv_nsec = 50000};
  while (number(usage) > limit / 8) nanosleep(&step, NULL);
  printf("freed %lld\n", now() - began);
  fflush(stdout);
  return 0;
}
