#include "core/sys/pidfd.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448
#endif

namespace oom::pidfd {

int open(pid_t pid) {
  const long fd = syscall(SYS_pidfd_open, pid, 0);
  return fd < 0 ? -errno : static_cast<int>(fd);
}

int send_signal(int fd, int signal) {
  return syscall(SYS_pidfd_send_signal, fd, signal, nullptr, 0) < 0 ? -errno : 0;
}

int mrelease(int fd) {
  for (;;) {
    if (syscall(SYS_process_mrelease, fd, 0) == 0) return 0;
    if (errno != EINTR) return -errno;
  }
}

}  // namespace oom::pidfd
