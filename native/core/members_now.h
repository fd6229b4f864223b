// The members of a group as they are now: the contents of a cgroup.procs that is open already,
// without an allocator. See victims.h for why the file is opened once more. Helpers' threads.
#pragma once

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "core/fd.h"
#include "core/parse.h"
#include "core/sys.h"

namespace oom {

// Calls use(pid_t) for each. 0 or -errno.
template <class Use>
int each_member_now(int procs_fd, Use&& use) {
  char name[32];
  snprintf(name, sizeof name, "/proc/self/fd/%d", procs_fd);
  // Not sys::open_at: this is a link that has to be followed.
  Fd fresh(open(name, O_RDONLY | O_CLOEXEC));
  int fd = fresh ? fresh.get() : procs_fd;
  char piece[4096];
  parse::PidLines lines;
  off_t at = 0;
  for (;;) {
    ssize_t n = pread(fd, piece, sizeof piece, at);
    if (n < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    if (n == 0) return lines.finish(use);
    at += n;
    if (int err = lines.feed({piece, static_cast<size_t>(n)}, use)) return err;
  }
}

// Whether the group has a member now: 1, 0 or -errno. One that this process cannot name, since it
// is in another PID namespace, is listed as 0 and counts.
inline int any_member_now(int procs_fd) {
  char name[32];
  snprintf(name, sizeof name, "/proc/self/fd/%d", procs_fd);
  Fd fresh(open(name, O_RDONLY | O_CLOEXEC));
  char first;
  for (;;) {
    ssize_t n = pread(fresh ? fresh.get() : procs_fd, &first, 1, 0);
    if (n >= 0) return n > 0;
    if (errno != EINTR) return -errno;
  }
}

// One of a process's small files in /proc: the length, or -errno.
inline ssize_t read_process_file(int proc, pid_t pid, const char* file, char* text, size_t size) {
  char name[48];
  snprintf(name, sizeof name, "%d/%s", pid, file);
  return sys::read_at(proc, name, text, size);
}

// Resident pages; 0: it is ending, or gone.
inline uint64_t resident_pages(int proc, pid_t pid, int& err) {
  char text[128];
  ssize_t n = read_process_file(proc, pid, "statm", text, sizeof text);
  err = n < 0 ? static_cast<int>(n) : 0;
  uint64_t pages;
  if (n < 0 || parse::statm_resident({text, static_cast<size_t>(n)}, pages) != 0) return 0;
  return pages;
}

}  // namespace oom
