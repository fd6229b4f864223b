// How far a memcg's usage may lie below its limit while a charge is refused: the kernel charges in
// batches of 64 pages, and each processor may keep the rest of one (mm/memcontrol.c, memcg_stock).
#pragma once

#include <unistd.h>

#include <cstdint>

#include "core/rules/sample.h"

namespace oom {

// Asks the kernel once: reading sysfs takes longer than the rest of what is armed with a file.
inline uint64_t charged_ahead() {
  static const long kCpus = sysconf(_SC_NPROCESSORS_CONF);
  return static_cast<uint64_t>(kCpus < 1 ? 1 : kCpus) * kChargeBatch;
}

}  // namespace oom
