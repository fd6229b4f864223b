// What a group of cgroup v2 looks like at its line: members that wait dip below it for a while,
// since the kernel takes back what CPUs had charged ahead, and nobody is served; then they charge
// anew. Simulated groups are v1's: this changes what is seen of them, not what they do.
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

  // What one of the processes sees, which has been told `s`.
  void show(const SimGroup& group, hold::DipFilter& filter, Sample& s) {
    int64_t now = group.now();
    // Usage says it, as on v2: that a waiter was woken and tries again is not to be seen there.
    bool full = s.usage + kChargeBatch >= s.limit && group.killer_disabled() && group.stuck();
    bool starved = s.starved() || (full && on(now));
    s.need = filter.judge(now, starved, !on(now), group.frozen());
    if (full) s.need = std::max(s.need, Need::kNear);
    if (on(now) && !s.starved()) list_.back().unseen_from = std::min(list_.back().unseen_from, now);
  }

  // How long since then nobody could see that the group is out of memory.
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
