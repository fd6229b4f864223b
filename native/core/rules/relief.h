// Whether an out-of-memory is over: one sample is no proof. Pure.
//
// Kernel contract (v1): a waiter that is woken by an uncharge leaves under_oom for the microseconds
// of its retry.
#pragma once

#include <cstdint>

#include "core/rules/invariant.h"
#include "core/rules/timer.h"
#include "core/sys/units.h"

namespace oom {

class Relief {
 public:
  // An end counts when it has lasted so long without a new notification.
  static constexpr int64_t kQuiet = 2 * kMs;
  // Past the deadline a group that has not been quiet for so long is out of memory, even if each
  // sample happened to fall into a retry.
  static constexpr int64_t kFlapping = 20 * kMs;
  // For the answer of a step of the plan that has ended it.
  static constexpr int64_t kAnswer = 20 * kMs;
  // While an end is suspected the group is sampled each millisecond.
  static constexpr int64_t kUnobserved = 25 * kMs;

  void begin() { quiet_.stop(); }

  // One sample. True: the group has not been out of memory for long enough.
  bool believed(int64_t now, bool out_of_memory, bool notified) {
    if (out_of_memory) {
      quiet_.stop();
      return false;
    }
    if (notified) quiet_.stop();
    quiet_.start(now);
    OOM_INVARIANT(suspected());
    return quiet_.lasted(now, kQuiet);
  }
  // The next sample may be the one that is believed.
  bool suspected() const { return quiet_.runs(); }
  // An end that was believed has lasted longer than a step's answer takes to arrive.
  bool lasts(int64_t now) const { return quiet_.lasted(now, kAnswer); }
  // It should have come long ago: this process was stopped.
  bool unobserved(int64_t now) const { return quiet_.lasted(now, kUnobserved); }

  // Past the deadline, a sample that was neither believed nor out of memory. True: there have been
  // nothing but such samples for long enough to call it out of memory.
  bool flapping(int64_t now) {
    flap_.start(now);
    return flap_.lasted(now, kFlapping);
  }
  void not_flapping() { flap_.stop(); }
  void deadline_moved() { flap_.stop(); }
  // A sample that says neither.
  void unclear() {
    quiet_.stop();
    flap_.stop();
  }

 private:
  Since quiet_;
  Since flap_;
};

}  // namespace oom
