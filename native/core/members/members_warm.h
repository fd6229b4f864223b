// The members of a group as they are now: the contents of its cgroup.procs, without an allocator.
// See victims.h for why the file is opened for each read. Helpers' threads.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <cerrno>

#include "core/members/member_list.h"
#include "core/sys/fd.h"
#include "core/sys/parse.h"

namespace oom {

// Calls use(pid_t) for each that an open cgroup.procs lists, with 0 for one that is not visible in
// this pid namespace (v2; v1 leaves those out). A threaded group (v2) lists none: its processes
// are those of the nearest domain above. 0 or -errno.
template <class Use>
int each_listed(int fd, Use&& use) {
  char piece[4096];
  parse::PidLines lines;
  off_t at = 0;
  for (;;) {
    ssize_t n = pread(fd, piece, sizeof piece, at);
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno == EOPNOTSUPP ? 0 : -errno;
    }
    if (n == 0) return lines.finish(use);
    at += n;
    if (int err = lines.feed({piece, static_cast<size_t>(n)}, use)) return err;
  }
}

// The same for a newly opened list.
template <class Use>
int each_member_now(const MemberList& members, Use&& use) {
  Fd fresh;
  int fd = members.open(fresh);
  return fd < 0 ? fd : each_listed(fd, use);
}

// Whether the lists of this file system are complete: v1 does not list members of other pid
// namespaces, so that there an empty list proves something in the first one alone. `fd` is any file
// of a group, or its directory.
bool lists_everybody(int fd);

// Whether the group itself, without those below it, has a member, also one that cannot be named:
// 1, 0 or -errno. -ENODATA: unknown here (v1 in a pid namespace of its own, or from a
// file that was not opened for this). One whose threads have all begun to end is none any more.
// Opens a file: helpers' threads, and not often.
int any_member_now(const MemberList& members);

}  // namespace oom
