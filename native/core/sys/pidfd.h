// Processes by pidfd: a handle that never means another process. pidfd_open(2) 5.3,
// pidfd_send_signal(2) 5.1, process_mrelease(2) 5.15; by number, since older libcs have no
// wrappers. Any thread; process_mrelease sleeps (15 ms per GiB of the victim) and is not for the
// sentinel.
#pragma once

#include <sys/types.h>

namespace oom::pidfd {

// The fd (close-on-exec), or -errno: -ESRCH no such process, -ENOSYS.
int open(pid_t pid);
// 0 or -errno. Signal 0 only checks.
int send_signal(int fd, int signal);
// Frees the memory of a dying process now: 0, or -errno: -EINVAL it is not dying, -ESRCH its
// memory is gone already.
int mrelease(int fd);

}  // namespace oom::pidfd
