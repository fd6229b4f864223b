// What a held group has to get back, in memory that the guardian has mapped as well
// (shared_state.h). Lock-free.
#pragma once

#include <atomic>
#include <cstdint>

namespace oom {

// Written before the group is changed, so that whoever is left can put it back.
struct HoldNote {
  std::atomic<uint64_t> own_high{0};  // memory.high as found, plus one; 0: the group is not held
  std::atomic<uint64_t> own_max{0};  // memory.max, while it is lowered for the kernel; 0: it is not
  // While the kernel is asked for a victim: until when whoever asks, one at a time, is sure to give
  // a sign; when one was last chosen, and how much was in use then, in units of 64 KiB (UINT32_MAX:
  // some of that is back). CLOCK_MONOTONIC; 0: nobody asks, none was.
  std::atomic<int64_t> asks_until{0};
  std::atomic<int64_t> chosen_at{0};
  std::atomic<uint32_t> chosen_usage{0};
  std::atomic<uint32_t> frozen{0};  // v1 as well: the members stand still
};

}  // namespace oom
