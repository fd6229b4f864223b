// Finds whose limit an OOM of a v1 group was: reads the signs that origin.h goes by. On the
// sentinel; opens files and allocates nothing.
#pragma once

#include <cstdint>
#include <limits>

#include "core/rules/origin.h"

namespace oom {

class OriginV1 {
 public:
  // The base line, when the watch begins. `young`: the group's charges are all of interest, and the
  // watch may be later than the first refusal.
  void start(int dir, bool young, int64_t now);
  // Returns the origin of an OOM that was notified at `now`. `kills`: the group's own, before it.
  Origin find(int dir, uint64_t kills, int64_t now);

 private:
  // Charges refused so far, for memory or memory with swap.
  struct Refusals {
    uint64_t own = 0;
    uint64_t above = 0;  // of all groups above, added up
  };

  static constexpr int64_t kLongAgo = std::numeric_limits<int64_t>::min() / 2;

  Refusals seen_;
  // When a refusal was last found.
  int64_t own_at_ = kLongAgo;
  int64_t above_at_ = kLongAgo;
};

}  // namespace oom
