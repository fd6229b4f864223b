// The members of one group: its cgroup.procs, opened for each look, or open already where this
// process may not be able to open it when it matters (members_warm.h has how it is read).
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
  // A new open file, which looks anew; where none can be had the one that is kept, if one is. The
  // number to read from, or -errno; -ENODEV: the group is gone.
  int open(Fd& fresh) const;

 private:
  Place place_;
  Fd kept_;
};

}  // namespace oom
