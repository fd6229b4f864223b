// The floor of `deadline`, and the one that looks in both cases: for the groups DIR/0 to DIR/COUNT-1, by
// commands on stdin:
//
//   hold        disables the killer of each: "held"
//   starved     waits until each is out of memory: "starved"
//   enable      a bare loop enables the killer of each, and then it looks until the last one is through:
//               "through LAST LOOP WORST KILLED": nanoseconds from the begin of the loop to the last one, of
//               the loop, of its longest write, and how many were through when the loop was done
//   look AT     looks from that time on (CLOCK_MONOTONIC): "through LAST 0 0 KILLED"
//
// A group is through when half of its memory or more is free again.
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { kMost = 4096 };
static int files[kMost];
static int usage[kMost];
static int left[kMost];
static int count;
static long long limit;

static long long now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static int file(const char* dir, int i, const char* name, int flags) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%d/memory.%s", dir, i, name);
  int fd = open(path, flags | O_CLOEXEC);
  if (fd < 0) exit(1);
  return fd;
}

static void rest(long ns) {
  struct timespec ts = {0, ns};
  nanosleep(&ts, NULL);
}

static void put(const char* text) {
  for (int i = 0; i < count; i++)
    if (pwrite(files[i], text, 1, 0) != 1) exit(3);
}

static long long number(int fd, const char* after) {
  char text[128] = "";
  if (pread(fd, text, sizeof text - 1, 0) <= 0) exit(4);
  const char* at = strstr(text, after);
  return at ? atoll(at + strlen(after)) : -1;
}

static bool starved(int i) { return number(files[i], "under_oom ") == 1; }
static bool through(int i) { return number(usage[i], "") <= limit / 2; }

// How many are left of those for which `done` did not hold yet.
static int look(int n, bool (*done)(int)) {
  int kept = 0;
  for (int i = 0; i < n; i++)
    if (!done(left[i])) left[kept++] = left[i];
  return kept;
}

static int all(void) {
  for (int i = 0; i < count; i++) left[i] = i;
  return count;
}

static void look_until_through(long long began, long long loop, long long worst) {
  int n = look(all(), through), at_first = count - n;
  while (n > 0) {
    rest(2000000);
    n = look(n, through);
  }
  printf("through %lld %lld %lld %d\n", now() - began, loop, worst, at_first);
}

int main(int argc, char** argv) {
  if (argc != 3 || (count = atoi(argv[2])) > kMost) return 2;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct rlimit most;
  if (getrlimit(RLIMIT_NOFILE, &most) != 0) return 1;
  most.rlim_cur = most.rlim_max;
  setrlimit(RLIMIT_NOFILE, &most);
  for (int i = 0; i < count; i++) {
    files[i] = file(argv[1], i, "oom_control", O_RDWR);
    usage[i] = file(argv[1], i, "usage_in_bytes", O_RDONLY);
  }
  limit = number(file(argv[1], 0, "limit_in_bytes", O_RDONLY), "");
  char line[128];
  while (fgets(line, sizeof line, stdin)) {
    if (strncmp(line, "hold", 4) == 0) {
      put("1");
      printf("held\n");
    } else if (strncmp(line, "starved", 7) == 0) {
      for (int n = all(); n > 0; rest(5000000)) n = look(n, starved);
      printf("starved\n");
    } else if (strncmp(line, "enable", 6) == 0) {
      long long began = now(), before = began, worst = 0;
      for (int i = 0; i < count; i++) {
        if (pwrite(files[i], "0", 1, 0) != 1) exit(3);
        long long after = now();
        if (after - before > worst) worst = after - before;
        before = after;
      }
      look_until_through(began, before - began, worst);
    } else {
      long long at = atoll(line + 5);
      while (now() < at) rest(1000000);
      look_until_through(at, 0, 0);
    }
    fflush(stdout);
  }
  return 0;
}
