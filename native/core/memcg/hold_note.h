// The values to restore when a held group is released, in memory that the guardian maps as well
// (shared_state.h). Lock-free.
#pragma once

#include <atomic>
#include <cstdint>

namespace oom {

// Written before the group is changed: if the process or its guardian ends, the other one can
// restore the values.
struct HoldNote {
  // memory.high as found, plus one; 0: the group is not held.
  std::atomic<uint64_t> own_high{0};
  // memory.max as found, while it is lowered to make the kernel choose a victim; 0: it is not.
  std::atomic<uint64_t> own_max{0};
  // One process at a time makes the kernel choose a victim. If it has not moved this time
  // (CLOCK_MONOTONIC) on when it is reached, that process is taken for stopped; 0: no process asks.
  std::atomic<int64_t> asks_until{0};
  // When a victim was last chosen, CLOCK_MONOTONIC; 0: none was.
  std::atomic<int64_t> chosen_at{0};
  // Usage at that time, in units of 64 KiB; UINT32_MAX: the victim has freed some memory since.
  std::atomic<uint32_t> chosen_usage{0};
  // The members are frozen (v1 as well).
  std::atomic<uint32_t> frozen{0};
};

}  // namespace oom
