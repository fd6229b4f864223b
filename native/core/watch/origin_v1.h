// Finds whose limit an OOM of a v1 group was: reads the signs that rules/origin.h goes by, the
// groups above last, since most OOMs are decided without them. On the sentinel; opens files and
// allocates nothing.
#pragma once

#include <cstdint>
#include <limits>

#include "core/rules/origin.h"
#include "core/sys/parse.h"
#include "core/watch/watch.h"

namespace oom {

// The charges that the groups above `dir` have refused so far, added up.
Above refusals_above(int dir);
// Whether the charges of the groups below it count in the group: always since Linux 5.11.
bool counts_below(int dir);
// memory.memsw.failcnt of the group; 0 without swap accounting.
uint64_t swap_refusals(int dir);

class OriginV1 {
 public:
  // A group that is younger than the watch of its tree: its own charges are all of interest, and
  // the watch may be later than the first refusal.
  void begin_young(uint64_t refused_above, int64_t now);
  // The base line, unless an OOM came first: that one's origin is unknown if the group has ever
  // refused a charge and no mark tells.
  void settle(const BaseLine& base);
  // Returns the origin of an OOM that was notified at `now`. `failcnt` and `control` are the
  // group's memory.failcnt and memory.oom_control, read since; `kills` its kills before it.
  Origin find(int dir, uint64_t failcnt, const parse::OomControl& control, uint64_t kills,
              int64_t now);
  // Whether the last find() did without numbers that the next one needs as its base line.
  bool behind() const { return behind_; }
  // Reads them.
  void catch_up(int dir, int64_t now);

 private:
  static constexpr int64_t kLongAgo = std::numeric_limits<int64_t>::min() / 2;

  void note_with_swap(int dir, int64_t now);
  void note_above(uint64_t refused, int64_t now);

  // Charges refused so far, of the group for memory and for memory with swap, and of all above it.
  struct Refusals {
    uint64_t memory = 0;
    uint64_t with_swap = 0;
    uint64_t above = 0;
  };

  Refusals seen_;
  bool settled_ = false;
  // When a refusal was last found.
  int64_t own_at_ = kLongAgo;
  int64_t above_at_ = kLongAgo;
  bool behind_ = false;
};

}  // namespace oom
