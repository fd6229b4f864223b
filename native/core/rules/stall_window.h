// When a PSI trigger would fire, by samples of the field total=, where the kernel takes no trigger.
// Pure.
//
// Kernel contract (Documentation/accounting/psi.rst): a trigger fires when at least `stall` of a
// window was stalled, once per window at most; the kernel samples ten times a window as well.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/rules/invariant.h"

namespace oom {

class StallWindow {
 public:
  static constexpr int kParts = 10;

  StallWindow(uint64_t stall_us, uint64_t window_us)
      : stall_(static_cast<int64_t>(stall_us)), window_(static_cast<int64_t>(window_us)) {}

  // How long after one sample the next is due, nanoseconds.
  int64_t step_ns() const { return window_ * 1000 / kParts; }

  void begin(int64_t now_ns, uint64_t total_us) { add({now_ns / 1000, total_us}); }

  // The next sample. True: as much was stalled within one window.
  bool enough(int64_t now_ns, uint64_t total_us) {
    const At now{now_ns / 1000, total_us};
    const bool enough = stalled_until(now) >= stall_;
    add(now);
    return enough;
  }
  // The same, and none was reported in it.
  bool fires(int64_t now_ns, uint64_t total_us) {
    const int64_t now = now_ns / 1000;
    if (!enough(now_ns, total_us) || (fired_ && now - fired_at_ < window_)) return false;
    fired_ = true;
    fired_at_ = now;
    return true;
  }

 private:
  struct At {
    int64_t at = 0;  // microseconds, as all that follows
    uint64_t total = 0;
  };

  // Since the newest sample that is a window old, or the oldest. If that is longer ago than a
  // window, because samples came late, the stall counts as spread evenly.
  int64_t stalled_until(const At& now) const {
    OOM_INVARIANT(count_ > 0);
    int back = 1;
    while (back < count_ && now.at - sample(back).at < window_) back++;
    const At& base = sample(back);
    const int64_t elapsed = now.at - base.at;
    const int64_t grown = now.total > base.total ? static_cast<int64_t>(now.total - base.total) : 0;
    if (elapsed <= window_) return grown;
    return std::min(grown, elapsed) * (window_ / 1000) / (elapsed / 1000);
  }

  void add(const At& one) {
    samples_[next_] = one;
    next_ = (next_ + 1) % kKept;
    count_ = std::min(count_ + 1, kKept);
  }
  // The last one is 1 back.
  const At& sample(int back) const { return samples_[(next_ + kKept - back) % kKept]; }

  static constexpr int kKept = kParts + 1;
  int64_t stall_;
  int64_t window_;
  At samples_[kKept];
  int next_ = 0;
  int count_ = 0;
  bool fired_ = false;
  int64_t fired_at_ = 0;
};

}  // namespace oom
