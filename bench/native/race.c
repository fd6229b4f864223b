// The job of `race`, and the one that looks.
//
//   race job DIR COUNT RATE      COUNT processes join DIR (cgroup.procs) and touch RATE bytes a second, all
//                                together, without end: "running", and at the end how many were killed:
//                                "ended KILLED". Ends them with stdin.
//   race watch FILE              samples every millisecond how much is used: of a group (FILE is its usage, in
//                                bytes), or of the machine ("machine": memory that is not available, and swap).
//                                "watching", and after "stop" on stdin, or when half of what was taken is free
//                                again: "peak USED AVAILABLE-KIB TOTAL-KIB NANOSECONDS": used at most; what was
//                                available then; the time from the first sample within 1 MiB of the
//                                peak until half of what had been taken was free again (-1: it was not).
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void rest(long long ns) {
  struct timespec ts = {ns / 1000000000, ns % 1000000000};
  nanosleep(&ts, NULL);
}

static bool stdin_ready(int ms) {
  struct pollfd in = {.fd = 0, .events = POLLIN};
  return poll(&in, 1, ms) > 0;
}

static void put(const char* file, const char* text) {
  int fd = open(file, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) _exit(7);
  close(fd);
}

// A hundredth of a second's share at a time.
static void grow(const char* dir, long long rate) {
  char file[4096];
  snprintf(file, sizeof file, "%s/cgroup.procs", dir);
  put(file, "0");
  put("/proc/self/oom_score_adj", "0");
  const size_t size = 1UL << 36;
  char* at =
      mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) _exit(8);
  madvise(at, size, MADV_NOHUGEPAGE);
  long long began = now();
  for (size_t used = 0; used < size;) {
    size_t due = (size_t)((double)(now() - began) / 1e9 * (double)rate);
    // What it could not get in time it does not ask for at once.
    if (due > used + (size_t)rate / 20) {
      due = used + (size_t)rate / 20;
      began = now() - (long long)((double)due / (double)rate * 1e9);
    }
    for (; used < due; used += 4096) ((volatile char*)at)[used] = 1;
    rest(10000000);
  }
}

static int job(const char* dir, int count, long long rate) {
  for (int i = 0; i < count; i++) {
    pid_t pid = fork();
    if (pid < 0) return 6;
    if (pid > 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    grow(dir, rate / count);
    _exit(0);
  }
  printf("running\n");
  fflush(stdout);
  int killed = 0, left = count;
  while (left > 0 && !stdin_ready(5)) {
    int status;
    while (waitpid(-1, &status, WNOHANG) > 0) {
      left--;
      if (WIFSIGNALED(status)) killed++;
    }
  }
  printf("ended %d\n", killed);
  fflush(stdout);
  return 0;
}

enum { kMost = 1 << 18 };
static struct {
  long long at;
  long long used;
} samples[kMost];
static long long available, total;

static long long field(const char* text, const char* name) {
  const char* at = strstr(text, name);
  return at ? atoll(at + strlen(name)) : 0;
}

static long long used(int fd, bool machine) {
  static char text[4096];
  ssize_t n = pread(fd, text, sizeof text - 1, 0);
  if (n <= 0) exit(4);
  text[n] = 0;
  if (!machine) return atoll(text);
  available = field(text, "MemAvailable:");
  total = field(text, "MemTotal:");
  return 1024 * (total - available + field(text, "SwapTotal:") - field(text, "SwapFree:"));
}

static int watch(const char* file) {
  bool machine = strcmp(file, "machine") == 0;
  int fd = open(machine ? "/proc/meminfo" : file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 1;
  // It has to see the others run out of memory, and not to be killed for it. Where this may not be had, the
  // group's limit is not its own.
  int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (machine && (write(score, "-1000", 5) != 5 || mlockall(MCL_CURRENT | MCL_FUTURE) != 0))
    return 5;
  struct sched_param first = {.sched_priority = 1};
  sched_setscheduler(0, SCHED_FIFO, &first);
  long long before = used(fd, machine), peak = before, least = available;
  printf("watching\n");
  fflush(stdout);
  int n = 0, last = 0;
  long long freed = -1;
  while (n < kMost) {
    samples[n].used = used(fd, machine);
    samples[n].at = now();
    if (samples[n].used > peak) {
      peak = samples[n].used;
      least = available;
      last = n;
    }
    // What was taken is 64 MiB at the least, so that the noise before does not count.
    bool half = peak - before > (64 << 20) && samples[n].used < (peak + before) / 2;
    if (half) freed = samples[n].at;
    n++;
    if (half || stdin_ready(0)) break;
    rest(1000000);
  }
  int top = last;
  while (top > 0 && samples[top - 1].used > peak - (1 << 20)) top--;
  printf("peak %lld %lld %lld %lld\n", peak, least, total,
         freed < 0 ? -1 : freed - samples[top].at);
  fflush(stdout);
  return 0;
}

int main(int argc, char** argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (argc == 5 && strcmp(argv[1], "job") == 0) return job(argv[2], atoi(argv[3]), atoll(argv[4]));
  if (argc == 3 && strcmp(argv[1], "watch") == 0) return watch(argv[2]);
  return 2;
}
