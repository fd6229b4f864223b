// cgroup v1 memory controller: Documentation/admin-guide/cgroup-v1/memory.rst.
#pragma once

#include "core/memcg/memcg.h"

namespace oom {

// A constant, alive as long as the program.
const Memcg& memcg_v1();

}  // namespace oom
