// The first kill of an episode, and whether its victim's memory can be back. Pure.
#pragma once

#include <cstdint>

#include "core/sys/units.h"

namespace oom {

class KillSeen {
 public:
  // A victim needs this long to die and be reaped before its memory counts as freed.
  static constexpr int64_t kTakesEffect = 100 * kMs;

  void forget() { seen_ = false; }
  explicit operator bool() const { return seen_; }
  int64_t at() const { return at_; }
  void note(int64_t now) {
    seen_ = true;
    at_ = now;
  }
  bool took_effect(int64_t now) const { return seen_ && now - at_ >= kTakesEffect; }

 private:
  bool seen_ = false;
  int64_t at_ = 0;
};

}  // namespace oom
