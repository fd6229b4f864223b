// cgroup v2 memory controller: Documentation/admin-guide/cgroup-v2.rst.
#pragma once

#include "core/memcg/memcg.h"

namespace oom {

// A constant, alive as long as the program.
const Memcg& memcg_v2();

}  // namespace oom
