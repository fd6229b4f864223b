// Who has a group's killer, as a desired state, and when a driver has to apply it. Pure: the driver
// makes the call and says how it went. Used by the sentinel, the guardian and the simulation.
#pragma once

#include <cstdint>

#include "core/rules/invariant.h"
#include "core/rules/timer.h"
#include "core/sys/units.h"

namespace oom {

enum class Grip : uint8_t {
  kHeld,         // user space decides: the killer is disabled (v1), the group held below max (v2)
  kKernelsTurn,  // the kernel decides, for a moment
  kFree,         // the kernel decides: the delay is 0
  kAsIs,         // nothing is to be switched: a dry run, a guard that is disposed, a removed group
};

struct Wish {
  Grip grip = Grip::kAsIs;
  bool waiting = false;  // tasks wait though the kernel should have its killer
};

class Switch {
 public:
  explicit Switch(Grip have = Grip::kFree) : have_(have), tried_(have) {}

  // Whether `wish` has to be applied now: it is new, or it has failed, or tasks wait, so that the
  // switch was lost or undone. The last two are repeated after kAgain.
  bool due(int64_t now, const Wish& wish) const {
    if (wish.grip == Grip::kAsIs) return false;
    OOM_INVARIANT(!known_ || have_ == tried_);
    if (wish.grip != tried_) return true;
    return unsettled(wish) && (!again_.runs() || again_.fired(now));
  }
  // When it becomes due without another change; kNever: it does not.
  int64_t next(const Wish& wish) const { return unsettled(wish) ? again_.at() : kNever; }
  void applied(int64_t now, Grip want, bool done) {
    tried_ = want;
    if (done) have_ = want;
    known_ = done;
    again_.start(now + kAgain);
    OOM_INVARIANT(!known_ || have_ == tried_);
  }
  // Another process may have switched since: what is wanted is applied again at once.
  void doubt() {
    known_ = false;
    again_.stop();
  }
  // The last application has succeeded, and nothing speaks against it.
  bool settled() const { return known_; }
  Grip have() const { return have_; }

 private:
  static constexpr int64_t kAgain = 5 * kMs;

  bool unsettled(const Wish& wish) const {
    if (wish.grip == Grip::kAsIs) return false;
    return !known_ || have_ != wish.grip || (wish.waiting && wish.grip != Grip::kHeld);
  }

  Grip have_;
  Grip tried_;
  bool known_ = true;
  Timer again_;
};

}  // namespace oom
