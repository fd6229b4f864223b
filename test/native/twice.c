// How many victims one lowering of memory.max takes on cgroup v2: the kernel alone, without the
// library.
//
//   twice DIR ROUNDS
//
// Each round makes DIR/N with a process of 12 MiB and one of 2 MiB that both sleep, lowers
// memory.max by one write to half a MiB below what they use, raises it again and counts the
// victims: one victim is enough. Prints "ROUNDS ONE TWO NONE OOMS", OOMS being the times that the
// kernel counted an out-of-memory.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const size_t kMiB = 1 << 20;
static char dir[256];

static void die(const char* what) {
  perror(what);
  exit(1);
}

static int at(const char* file, int flags) {
  char path[320];
  snprintf(path, sizeof path, "%s/%s", dir, file);
  int fd = open(path, flags);
  if (fd < 0) die(path);
  return fd;
}

static void put(const char* file, const char* text) {
  int fd = at(file, O_WRONLY);
  if (write(fd, text, strlen(text)) < 0) die(file);
  close(fd);
}

static long field(const char* key) {
  char text[4096];
  int fd = at("memory.events", O_RDONLY);
  ssize_t n = read(fd, text, sizeof text - 1);
  if (n < 0) die("memory.events");
  close(fd);
  text[n] = '\0';
  size_t length = strlen(key);
  for (char* line = text; line != NULL && *line != '\0';) {
    if (strncmp(line, key, length) == 0 && line[length] == ' ') return atol(line + length + 1);
    line = strchr(line, '\n');
    if (line != NULL) line++;
  }
  return 0;
}

static pid_t member(size_t bytes) {
  int ends[2];
  char byte;
  if (pipe(ends) != 0) die("pipe");
  pid_t pid = fork();
  if (pid < 0) die("fork");
  if (pid == 0) {
    put("cgroup.procs", "0");
    char* memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) _exit(1);
    madvise(memory, bytes, MADV_NOHUGEPAGE);
    memset(memory, 1, bytes);
    if (write(ends[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  close(ends[1]);
  if (read(ends[0], &byte, 1) != 1) die("member");
  close(ends[0]);
  return pid;
}

static int gone(pid_t pid) { return waitpid(pid, NULL, WNOHANG) == pid; }

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  int rounds = atoi(argv[2]), counts[3] = {0};
  long ooms = 0;
  for (int round = 0; round < rounds; round++) {
    snprintf(dir, sizeof dir, "%s/%d", argv[1], round);
    if (mkdir(dir, 0755) != 0) die(dir);
    pid_t small = member(2 * kMiB), large = member(12 * kMiB);
    char text[32];
    snprintf(text, sizeof text, "%zu", 13 * kMiB + kMiB / 2);
    put("memory.max", text);
    put("memory.max", "max");
    // The write returns when what is left fits: the chosen process is dead or about to be.
    long killed = field("oom_kill");
    for (int left = (int)killed; left > 0;) {
      if (small > 0 && gone(small)) small = 0, left--;
      if (large > 0 && gone(large)) large = 0, left--;
      usleep(1000);
    }
    counts[killed > 2 ? 2 : killed]++;
    ooms += field("oom");
    if (small > 0) kill(small, SIGKILL), waitpid(small, NULL, 0);
    if (large > 0) kill(large, SIGKILL), waitpid(large, NULL, 0);
    while (rmdir(dir) != 0) {
      if (errno != EBUSY) die(dir);
      usleep(1000);
    }
  }
  printf("%d %d %d %d %ld\n", rounds, counts[1], counts[2], counts[0], ooms);
  return 0;
}
