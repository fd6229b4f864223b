// The kernel has its killer for a moment: when it is taken back. Pure.
#pragma once

#include <cstdint>

#include "core/rules/invariant.h"
#include "core/rules/sample.h"
#include "core/sys/units.h"

namespace oom {

class KernelTurn {
 public:
  // The kernel's kill follows within about 15 ms; its victim may be in a group below, where this
  // group's counter does not count it.
  static constexpr int64_t kWindow = 100 * kMs;
  static constexpr int64_t kWindowMost = 1000 * kMs;
  static constexpr int64_t kTakesEffect = 100 * kMs;

  void begin(int64_t now, const Sample& s) {
    since_ = progress_ = now;
    seen_ = false;
    killed_ = false;
    kills_ = s.kills;
    lowest_ = s.usage;
  }
  bool killed() const { return killed_; }

  // One sample. True: there is room again, or the kernel has killed and nothing more comes of it.
  // With neither, it may still be on its way to its victim, and has more time.
  bool decided(int64_t now, const Sample& s, bool room) {
    if (s.kills > kills_) {
      kills_ = s.kills;
      killed_ = true;
      progress_ = now;
    }
    if (s.usage < lowest_) {
      lowest_ = s.usage;
      progress_ = now;
    }
    OOM_INVARIANT(s.kills <= kills_ && lowest_ <= s.usage);
    // Not before the driver has given the kernel its killer. If that took long, since the driver was
    // stopped, the kernel has its time from then on.
    if (now <= since_) return false;
    if (!seen_ && now - since_ > kWindow) since_ = now;
    seen_ = true;
    int64_t elapsed = now - since_;
    if (s.starved() || elapsed <= 0) return false;
    if (s.deserted || elapsed >= kWindowMost) return true;
    if (room) return killed_ || elapsed >= kWindow;
    return killed_ && now - progress_ >= kTakesEffect;
  }

 private:
  int64_t since_ = 0;
  bool seen_ = false;     // a sample after it
  int64_t progress_ = 0;  // when a process was last killed, or memory freed
  bool killed_ = false;
  uint64_t kills_ = 0;
  uint64_t lowest_ = 0;
};

}  // namespace oom
