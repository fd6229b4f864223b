// The members of one group: its cgroup.procs, opened for each read, and kept open if this process
// may be unable to open it during an OOM (members_warm.h has how it is read).
#pragma once

#include <utility>

#include "core/sys/fd.h"
#include "core/sys/place.h"
#include "core/sys/status.h"

namespace oom {

class MemberList {
 public:
  // `keep`: opens and reads it now.
  Status arm(const Place& place, int dir, bool keep);
  // Opens the file again, for a current list; if that fails, uses the one that is kept open, if
  // any. Returns the fd to read from, or -errno; -ENODEV: the group has been removed.
  int open(Fd& fresh) const;

 private:
  Place place_;
  Fd kept_;
};

}  // namespace oom
