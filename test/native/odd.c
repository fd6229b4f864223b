// Members that /proc shows wrongly, and a command that runs in a pid namespace of its own:
//
//   odd headless DIR BYTES    the main thread ends itself; another one fills
//   odd sharers DIR BYTES N   N more processes share the memory (CLONE_VM, not threads); then it fills
//   odd threads DIR T BYTES   a thread of it lives in the threaded group DIR/T; then it fills
//   odd namespace COMMAND …   runs the command as the first process of a pid namespace of its own, with
//                             its own /proc; ends with it
//
// The first three join the v1 or v2 group DIR, print "ready", and fill BYTES when a line comes on
// stdin: "filled" (never, while out of memory). They end with stdin, or with their parent.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t bytes;
static char threads_file[4096];

static void say(const char* text) {
  if (write(1, text, strlen(text)) < 0) _exit(3);
}

static void put(const char* dir, const char* file) {
  char name[4096];
  snprintf(name, sizeof name, "%s/%s", dir, file);
  int fd = open(name, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "0", 1) < 0) {
    perror(name);
    _exit(4);
  }
  close(fd);
}

static void work(void) {
  char line[64];
  say("ready\n");
  if (read(0, line, sizeof line) <= 0) _exit(0);
  char* at =
      mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) _exit(5);
  for (size_t i = 0; i < bytes; i += 4096) ((volatile char*)at)[i] = 1;
  say("filled\n");
  while (read(0, line, sizeof line) > 0) {
  }
  _exit(0);
}

// When the main thread is a zombie, its state is Z for every reader.
static void* headless(void* unused) {
  (void)unused;
  char name[64], text[1024];
  snprintf(name, sizeof name, "/proc/%d/stat", getpid());
  do {
    usleep(1000);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof text - 1);
    text[n < 0 ? 0 : n] = 0;
    close(fd);
  } while (!strstr(text, ") Z "));
  work();
  return 0;
}

static int sharer(void* unused) {
  (void)unused;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) pause();
  return 0;
}

static void* elsewhere(void* unused) {
  (void)unused;
  put(threads_file, "cgroup.threads");
  work();
  return 0;
}

static int namespace(char** command) {
  if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0 || mount(0, "/", 0, MS_REC | MS_PRIVATE, 0) != 0) {
    perror("unshare");
    return 6;
  }
  pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (mount("proc", "/proc", "proc", 0, 0) != 0) perror("mount");
    execvp(command[0], command);
    perror(command[0]);
    _exit(127);
  }
  close(0);
  close(1);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  if (!strcmp(argv[1], "namespace")) return namespace(argv + 2);
  if (argc < 4) return 2;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  put(argv[2], "cgroup.procs");
  bytes = strtoull(argv[argc > 4 && !strcmp(argv[1], "threads") ? 4 : 3], 0, 10);
  pthread_t thread;
  if (!strcmp(argv[1], "headless")) {
    pthread_create(&thread, 0, headless, 0);
    syscall(SYS_exit, 0);
  }
  if (!strcmp(argv[1], "threads") && argc > 4) {
    snprintf(threads_file, sizeof threads_file, "%s/%s", argv[2], argv[3]);
    pthread_create(&thread, 0, elsewhere, 0);
    for (;;) pause();
  }
  if (!strcmp(argv[1], "sharers") && argc > 4) {
    for (int i = atoi(argv[4]); i > 0; i--) {
      char* stack = malloc(1 << 16);
      if (clone(sharer, stack + (1 << 16), CLONE_VM | SIGCHLD, 0) < 0) _exit(7);
    }
    work();
  }
  return 2;
}
