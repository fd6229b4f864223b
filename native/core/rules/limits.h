// The limits of a group, and in which order a change of them is written. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "core/sys/status.h"

namespace oom {

// Bytes, kUnlimited for none. Empty: the version (or the kernel) has no such limit; in a change:
// leave it as it is.
struct Limits {
  std::optional<uint64_t> max;
  std::optional<uint64_t> high;
  std::optional<uint64_t> swap_max;
  std::optional<bool> oom_group;
};

// The limits of a v1 group as they are; `memsw` is empty where swap is not accounted.
struct LimitsV1 {
  uint64_t max;
  std::optional<uint64_t> memsw;
};

// One write to a control file with a number in it, and what it takes to undo it.
struct LimitWrite {
  const char* file;
  uint64_t from;
  uint64_t to;
};

struct LimitPlan {
  LimitWrite writes[4];
  int count = 0;
};

// The kernel rounds limits down to whole pages, of `page` bytes here.
uint64_t whole_pages(uint64_t bytes, uint64_t page);

// v1: the writes for a change of max and swap_max, in the order that the kernel accepts: at no time
// may limit_in_bytes be above memsw.limit_in_bytes. A change that cannot be expressed (swap on top
// of unlimited memory) is ERR_CGROUP_UNSUPPORTED.
Status plan_limits(const LimitsV1& now, const Limits& change, uint64_t page, LimitPlan& plan);

// v2: what loosens first and what tightens last, memory.max behind everything else, since it alone
// can be refused. A limit that the group's kernel does not have (memory.swap.max without swap) is
// ERR_CGROUP_UNSUPPORTED.
Status plan_limits_v2(const Limits& now, const Limits& change, uint64_t page, LimitPlan& plan);

}  // namespace oom
