// How long a v2 group has stalled for memory, and how many pages it has read back: what
// rules/thrash.h goes by. Nothing is written, so that it takes no rights.
#pragma once

#include <cstdint>

#include "core/memcg/v2_reclaimable.h"
#include "core/rules/sample.h"
#include "core/sys/fd.h"
#include "core/sys/status.h"

namespace oom {

class GroupStalls {
 public:
  // ERR_CGROUP_UNSUPPORTED: the kernel has no stall information of the group.
  Status arm(int dir);
  // Of a sample with usage and limit, of a group whose memory.high is `high`. 0 or -errno, without
  // arm() too.
  int read(const Reclaimable& pages, uint64_t high, Sample& sample) const;

 private:
  Fd pressure_;
};

}  // namespace oom
