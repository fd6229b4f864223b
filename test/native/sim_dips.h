// What processes see of a group of cgroup v2 at its line: members that wait dip below it for up
// to 4 s, since the kernel takes back what CPUs had charged ahead, and no task is served; then they
// charge again. Simulated groups are v1's: this changes what is seen of them, not what they do.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/rules/hold_line.h"
#include "core/simulation/sim_group.h"
#include "sim_random.h"

namespace oom::test {

class Dips {
 public:
  void begin(int64_t now, int64_t ns) { list_.push_back({.to = now + ns}); }
  bool on(int64_t now) const { return !list_.empty() && now < list_.back().to; }
  int64_t end() const { return list_.empty() ? -1 : list_.back().to; }

  // Changes `s`, a sample of the group, to what one of the processes sees on v2.
  void show(const SimGroup& group, hold::DipFilter& filter, Sample& s) {
    int64_t now = group.now();
    // Usage shows it, as on v2: there a waiter that was woken and tries again cannot be seen.
    bool full = s.usage + kChargeBatch >= s.limit && group.killer_disabled() && group.stuck();
    bool starved = s.starved() || (full && on(now));
    s.need = filter.judge(now, starved, !on(now), group.frozen());
    if (full) s.need = std::max(s.need, Need::kNear);
    if (on(now) && !s.starved()) list_.back().unseen_from = std::min(list_.back().unseen_from, now);
  }

  // When the last one ended that hid an OOM until it counted as over: what there is then has a time of its own.
  int64_t forgotten_until(int64_t now) const {
    constexpr int64_t kHidden = hold::DipFilter::kSleep - hold::DipFilter::kDip;
    int64_t until = 0;
    for (const Dip& dip : list_) {
      if (dip.to <= now && dip.to - dip.unseen_from >= kHidden) until = dip.to;
    }
    return until;
  }

  // For how long from `from` on no process could see that the group is out of memory.
  int64_t unseen(int64_t from, int64_t now) const {
    int64_t sum = 0;
    for (const Dip& dip : list_) {
      sum += std::max<int64_t>(0, std::min(now, dip.to) - std::max(from, dip.unseen_from));
    }
    return sum;
  }

 private:
  struct Dip {
    int64_t to;
    int64_t unseen_from = kNever;
  };
  std::vector<Dip> list_;
};

}  // namespace oom::test
