// Whether anybody is left in a guarded group, as its helpers report it: the rule, pure. Tmpfs pages
// and what a process that was moved to another group has been charged for keep a group full that
// has no process any more; the kernel does not report that the last one has left.
//
// Runs on whichever thread drives the episode. One report is no proof: a member that forks and ends
// between two reads of cgroup.procs can be missed once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/rules/invariant.h"

namespace oom {

class Presence {
 public:
  // Two reports and a sample take less than 100 ms; where very many groups are in an episode, one
  // sixteenth as many reports at a time.
  static constexpr int64_t kPace = 20'000'000;
  static constexpr int64_t kCrowd = 16;

  // In an episode: whether to ask now. `crowd`: how many groups are looked at as often as this one.
  bool due(int64_t now, int64_t crowd) {
    if (now < at_) return false;
    at_ = now + kPace * std::max<int64_t>(1, crowd / kCrowd);
    OOM_INVARIANT(at_ > now);
    return true;
  }
  void reported(bool deserted) {
    missing_ = deserted ? std::min(missing_ + 1, kEnough) : 0;
    OOM_INVARIANT(missing_ >= 0 && missing_ <= kEnough);
  }
  // The kernel has notified of an event: a process is there again.
  void notified() { missing_ = 0; }
  bool deserted() const { return missing_ == kEnough; }

 private:
  static constexpr int kEnough = 2;

  int64_t at_ = 0;
  int missing_ = 0;
};

}  // namespace oom
