// A fallback of this process that kills: whether its killer has answered, and when the kernel has to
// follow. Pure.
#pragma once

#include <cstdint>

#include "core/rules/kill_seen.h"
#include "core/sys/units.h"

namespace oom {

class KillingFallback {
 public:
  // If no process is killed by then, or its end does not help, the kernel follows. Together with
  // Relief::kFlapping and KillSeen::kTakesEffect that stays below the 250 ms of the promise.
  static constexpr int64_t kEscalate = 100 * kMs;
  // Whose kill it was that helped is known only when the killer has answered.
  static constexpr int64_t kAnswerMost = 1000 * kMs;

  void begin(int64_t now) {
    at_ = now;
    answered_ = false;
  }
  void answer() { answered_ = true; }
  bool answered() const { return answered_; }
  bool awaits_answer(int64_t now) const { return !answered_ && now - at_ < kAnswerMost; }
  // `kill`: the first of the episode, which may be another process's.
  bool given_up(int64_t now, const KillSeen& kill) const {
    return now - (kill ? kill.at() : at_) >= kEscalate || (answered_ && !kill);
  }

 private:
  int64_t at_ = 0;
  bool answered_ = false;
};

}  // namespace oom
