// cgroup v1 memory controller: Documentation/admin-guide/cgroup-v1/memory.rst.
#pragma once

#include "core/memcg.h"

namespace oom {

// A constant, alive as long as the program.
const Memcg& memcg_v1();

// The limits of a v1 group as they are; `memsw` is empty where swap is not accounted.
struct LimitsV1 {
  uint64_t max;
  std::optional<uint64_t> memsw;
};

// The writes for a change of max and swap_max, in the order that the kernel accepts: at no time may
// limit_in_bytes be above memsw.limit_in_bytes. Pure. A change that cannot be expressed (swap on
// top of unlimited memory) is ERR_CGROUP_UNSUPPORTED.
Status plan_limits(const LimitsV1& now, const Limits& change, LimitPlan& plan);

}  // namespace oom
