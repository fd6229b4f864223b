// An episode's deadline, and what an episode leaves of its delay to the next one. Pure.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/rules/invariant.h"
#include "core/rules/timer.h"
#include "core/sys/units.h"

namespace oom {

class Clock {
 public:
  // An episode that ends next to the line passes the rest of its delay on for so long: members may
  // fall back to the line. After it, an OOM is a new one with a delay of its own.
  static constexpr int64_t kRestLasts = 10'000 * kMs;

  int64_t deadline() const { return deadline_; }
  bool over(int64_t now) const { return now >= deadline_; }

  // An episode begins: with its whole delay, or with what the one before has left.
  void start(int64_t now, int64_t delay) {
    OOM_INVARIANT(delay > 0);
    deadline_ = now + std::min(delay, rest_);
    from_ = has_rest() ? now - used_ : now;
    forget_rest();
    OOM_INVARIANT(deadline_ >= from_);
  }
  // The program has set another delay: it counts from now.
  void restart(int64_t now, int64_t delay) {
    from_ = now;
    deadline_ = now + delay;
    forget_rest();
    OOM_INVARIANT(deadline_ >= from_);
  }
  // `most` counts from the start, or from the last restart(). False: the deadline has not moved.
  bool extend(int64_t ns, int64_t most) {
    OOM_INVARIANT(ns > 0);
    int64_t latest = from_ + most;
    int64_t wanted = ns > latest - deadline_ ? latest : deadline_ + ns;
    if (wanted <= deadline_) return false;
    deadline_ = wanted;
    OOM_INVARIANT(deadline_ <= latest);
    return true;
  }
  // The guardian follows the sentinel's deadline.
  void follow(int64_t deadline) { deadline_ = deadline; }

  // The episode ends next to the line: nothing significant has been freed.
  void leave_rest(int64_t now) {
    used_ = now - from_;
    rest_ = std::max<int64_t>(deadline_ - now, 0);
    rest_until_ = now + kRestLasts;
    OOM_INVARIANT(rest_ >= 0 && has_rest());
  }
  bool has_rest() const { return rest_ != kNever; }
  void forget_rest() { rest_ = kNever; }
  void expire_rest(int64_t now) {
    if (now >= rest_until_) forget_rest();
  }

 private:
  int64_t from_ = 0;
  int64_t deadline_ = 0;
  int64_t used_ = 0;  // by the episode that has left a rest
  int64_t rest_ = kNever;
  int64_t rest_until_ = 0;
};

}  // namespace oom
