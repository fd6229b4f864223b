// When a group of which the kernel notifies is sampled although nothing happens: one sweep of all
// groups finds what was missed, a notification that was lost. Pure.
#pragma once

#include <cstdint>

#include "core/sys/units.h"

namespace oom {

// A notification that is lost delays what it was for by no more than that (docs/guarantees.md).
constexpr int64_t kSweep = 10'000 * kMs;

// The same point in time for all groups, and for both processes: one wake-up each.
constexpr int64_t next_sweep(int64_t now) { return (now / kSweep + 1) * kSweep; }

}  // namespace oom
