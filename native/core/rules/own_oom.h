// Whether an out-of-memory that a group's files show is the group's own. Pure.
//
// Kernel contract (v1): under_oom of a group is set by its own limit and by that of each group
// above it. A task that was woken stays marked until it gets to run.
#pragma once

#include <cstdint>

#include "core/rules/invariant.h"
#include "core/rules/sample.h"
#include "core/rules/timer.h"

namespace oom {

class OwnOom {
 public:
  // Tasks that still wait after `patience` ns although there is room have missed their wake-up.
  explicit OwnOom(int64_t patience) : patience_(patience) {}

  // `at_limit`: whether the group stands at a limit of its own; `starved_above`: whether a group
  // above is out of memory, which then is that group's episode. Called only where they matter.
  template <class AtLimit, class StarvedAbove>
  Need judge(int64_t now, Need need, AtLimit&& at_limit, StarvedAbove&& starved_above) {
    bool own = need < Need::kStarved || at_limit();
    if (own || starved_above()) {
      woken_.stop();
      return own ? need : Need::kFine;
    }
    OOM_INVARIANT(need >= Need::kStarved);
    woken_.start(now);
    return woken_.lasted(now, patience_) ? Need::kStranded : Need::kFine;
  }
  // Tasks wait with room: whether they have missed their wake-up shows only in another sample.
  bool undecided() const { return woken_.runs(); }

 private:
  int64_t patience_;
  Since woken_;
};

}  // namespace oom
