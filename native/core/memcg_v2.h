// cgroup v2 memory controller: Documentation/admin-guide/cgroup-v2.rst.
#pragma once

#include "core/memcg.h"

namespace oom {

// A constant, alive as long as the program.
const Memcg& memcg_v2();

// The writes for a change of limits: what loosens first and what tightens last, memory.max behind
// everything else, since it alone can be refused. Pure. A limit that the group's kernel does not
// have (memory.swap.max without swap) is ERR_CGROUP_UNSUPPORTED.
Status plan_limits_v2(const Limits& now, const Limits& change, LimitPlan& plan);

}  // namespace oom
