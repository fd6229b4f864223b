// Where a group is held that is held by signals, and how often its usage is sampled: the pure half
// of memcg/signal_back_end.h.
//
// Nothing of such a group can be written: no switch of the kernel's killer, no memory.high. Its
// members are stopped at a line below the limit instead. Between the line and the limit must fit
// what they allocate from the sample that sees the line crossed until the last of them has stopped.
#pragma once

#include <atomic>
#include <cstdint>

namespace oom::signals {

// The limit less the band, in whole pages; kUnlimited: without a limit there is none. `band` 0: the
// default.
uint64_t line(uint64_t max, uint64_t band);

// How long the next sample can wait, ns: as long as the fastest machine needs to fill what is left
// up to the line, which `needed` bytes have been used of. bench/README.md, "band", has the figures.
int64_t pause(uint64_t needed, uint64_t line);

// From where on the processes to be stopped are looked up in advance.
bool is_near(uint64_t needed, uint64_t line, uint64_t max);

// When the members are listed again to find new ones. The sentinel asks, a helper says when it has
// done so.
class Rounds {
 public:
  // In advance, near the line.
  static constexpr int64_t kPrepare = 20'000'000;
  // After a listing in which none was new.
  static constexpr int64_t kAgain = 10'000'000;
  // A listing takes its time: at most one part in so many of a helper's.
  static constexpr int64_t kShare = 10;

  bool due(int64_t now, bool stopping) const {
    if (stopping && !stopping_.load()) return true;
    return now >= at_.load();
  }
  // `found`: it has found a new one.
  void done(int64_t begun, int64_t now, bool stopping, bool found) {
    int64_t least = stopping ? kAgain : kPrepare;
    int64_t cost = (now - begun) * kShare;
    at_.store(stopping && found ? now : now + (cost > least ? cost : least));
    stopping_.store(stopping);
  }

 private:
  std::atomic<int64_t> at_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace oom::signals
