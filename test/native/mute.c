// Loses notifications on purpose: takes FILE out of each epoll set of process PID, as if the kernel
// had never signalled it again: mute PID FILE. epoll_ctl(2), pidfd_getfd(2), proc(5).
//
// An epoll set knows a file by its description and its number, so both are made the same here.
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

// Out of the way of the numbers that the process uses.
enum { kPidFd = 1000, kEpollFd = 1001 };

static int fetch(int number, int as) {
  int fd = syscall(SYS_pidfd_getfd, kPidFd, number, 0);
  if (fd == as) return 0;
  int err = fd < 0 || dup2(fd, as) < 0;
  close(fd);
  return err;
}

static int is(const char* pid, int number, const char* wanted) {
  char link[64], target[4096];
  snprintf(link, sizeof link, "/proc/%s/fd/%d", pid, number);
  ssize_t n = readlink(link, target, sizeof target - 1);
  target[n < 0 ? 0 : n] = 0;
  return strcmp(target, wanted) == 0;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const char* pid = argv[1];
  int pidfd = syscall(SYS_pidfd_open, atoi(pid), 0);
  if (pidfd < 0 || dup2(pidfd, kPidFd) < 0) return perror("pidfd_open"), 2;
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%s/fd", pid);
  DIR* fds = opendir(path);
  if (!fds) return perror(path), 2;
  int muted = 0;
  for (struct dirent* entry; (entry = readdir(fds));) {
    int epoll = atoi(entry->d_name);
    if (entry->d_name[0] == '.' || !is(pid, epoll, "anon_inode:[eventpoll]")) continue;
    snprintf(path, sizeof path, "/proc/%s/fdinfo/%d", pid, epoll);
    FILE* info = fopen(path, "r");
    while (info && fgets(line, sizeof line, info)) {
      int number;
      if (sscanf(line, "tfd: %d", &number) != 1 || !is(pid, number, argv[2])) continue;
      if (fetch(epoll, kEpollFd) != 0 || fetch(number, number) != 0) return perror("getfd"), 2;
      if (epoll_ctl(kEpollFd, EPOLL_CTL_DEL, number, NULL) != 0) return perror("epoll_ctl"), 2;
      muted++;
    }
    if (info) fclose(info);
  }
  if (muted == 0) fprintf(stderr, "no epoll set has %s\n", argv[2]);
  return muted == 0;
}
