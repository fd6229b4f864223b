// The floor of arming in `groups`: for each group directly below DIR the bare system calls that
// cgroup v1 needs (eventfd, open twice, write, close twice), and the eventfds stay open. Prints
// "armed GROUPS NANOSECONDS CPU-NANOSECONDS" and waits for the end of stdin.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static long long now(clockid_t clock) {
  struct timespec ts;
  clock_gettime(clock, &ts);
  return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  DIR* entries = opendir(argv[1]);
  if (!entries) return 1;
  static char* names[1 << 16];
  int count = 0;
  for (struct dirent* entry; count < 1 << 16 && (entry = readdir(entries));) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') names[count++] = strdup(entry->d_name);
  }
  int dir = dirfd(entries);
  char file[300], line[64];
  long long began = now(CLOCK_MONOTONIC), cpu = now(CLOCK_THREAD_CPUTIME_ID);
  for (int i = 0; i < count; i++) {
    int events = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    snprintf(file, sizeof file, "%s/memory.oom_control", names[i]);
    int oom = openat(dir, file, O_RDONLY | O_CLOEXEC);
    snprintf(file, sizeof file, "%s/cgroup.event_control", names[i]);
    int control = openat(dir, file, O_WRONLY | O_CLOEXEC);
    int n = snprintf(line, sizeof line, "%d %d", events, oom);
    if (write(control, line, (size_t)n) != n) return 1;
    close(oom);
    close(control);
  }
  printf("armed %d %lld %lld\n", count, now(CLOCK_MONOTONIC) - began,
         now(CLOCK_THREAD_CPUTIME_ID) - cpu);
  fflush(stdout);
  while (getchar() != EOF) {
  }
  return 0;
}
