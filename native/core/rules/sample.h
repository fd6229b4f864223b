// What the files of a group say at one moment: the input of the episode's rules. Pure.
#pragma once

#include <cstdint>

namespace oom {

// How much a group needs memory, in ascending order.
enum class Need : uint8_t {
  kFine,
  // v2: at the line or within the per-CPU charge cache below it, so nothing significant has been
  // freed.
  kNear,
  // v2: at the line, and whether it is out of memory shows in the next 2.5 s.
  kUnclear,
  // Out of memory by its own limit: tasks wait for user space (v1) or are throttled (v2).
  kStarved,
  // v1: tasks still wait although usage is below the limit (a missed wake-up).
  kStranded,
};

// What rules/thrash.h goes by: read when that asks for it.
struct Stalls {
  bool known = false;
  // Usage is where the kernel takes memory back: at memory.max, or at memory.high.
  bool at_edge = false;
  uint64_t full_us = 0;   // how long all tasks have stalled, in all
  uint64_t restored = 0;  // how many pages in use were reclaimed and read back, in all
};

struct Sample {
  Need need = Need::kFine;
  // No process is left in the group, nor in those below it. Whatever is charged (tmpfs, memory of a
  // process that was moved to another group), no task here waits for it.
  bool deserted = false;
  bool let_in = false;  // v1: the killer is enabled
  uint64_t usage = 0;   // bytes
  uint64_t limit = 0;   // bytes
  uint64_t kills = 0;   // the kernel's kill counter of the group
  // v2: how far below the limit the group is held, and what of its usage the kernel can take back
  // without killing.
  uint64_t band = 0;
  uint64_t reclaimable = 0;
  Stalls stalls;

  bool starved() const { return need >= Need::kStarved; }
};

// Charges are taken in batches per CPU: a group that is full may stand this far below its limit.
constexpr uint64_t kChargeBatch = 64 * 4096;

// Limits go up to "none", the largest number there is.
constexpr uint64_t saturating_add(uint64_t a, uint64_t b) {
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

// What of its usage the kernel cannot take back without killing.
constexpr uint64_t needed(const Sample& s) {
  return s.usage > s.reclaimable ? s.usage - s.reclaimable : 0;
}

// Whether the group would be full at `limit`, reclaimable memory left aside.
constexpr bool full(const Sample& s, uint64_t limit) {
  return saturating_add(needed(s), saturating_add(s.band, kChargeBatch)) >= limit;
}

}  // namespace oom
