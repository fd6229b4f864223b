#pragma once

#include <unistd.h>

#include <cstddef>

namespace oom {

inline size_t page_size() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace oom
