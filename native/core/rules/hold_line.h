// Where a v2 group is held, and when holding it takes more than throttling: the pure half of
// v2_memory_high.h.
//
// cgroup v2 has no switch for the kernel's killer. A guarded group is held at a line below
// memory.max instead: memory.high = max - band. Past it the kernel throttles whoever allocates, the
// harder the further it is past, relative to the line: nothing up to about 2 %, then a group
// creeps. What throttling lets through is what the band is for; cgroup.freeze stops the rest.
#pragma once

#include <cstdint>

#include "core/rules/sample.h"

namespace oom {

enum class HoldFreeze : uint8_t { kIfNeeded, kAlways, kNever };

struct HoldConfig {
  uint64_t band = 0;  // 0: the default
  HoldFreeze freeze = HoldFreeze::kIfNeeded;
};

namespace hold {

// memory.max less the band, in whole pages; kUnlimited: without a limit there is none.
uint64_t line(uint64_t max, const HoldConfig& config);

// Where memory.max goes for the moment in which the kernel is made to decide. It first takes back
// what CPUs have charged ahead (`ahead` at most): at the line itself a group would then fit, nobody
// would be killed, and its members would be back past the line a moment later.
uint64_t squeeze(uint64_t max, const HoldConfig& config, uint64_t ahead);

// What memory.stat, the swap files and the like say of a group.
struct Pages {
  uint64_t file = 0;         // on the lists of file pages that can be reclaimed
  uint64_t anon = 0;         // on those of pages that need swap, shared memory included
  uint64_t slab = 0;         // of the kernel's caches, what can be reclaimed
  uint64_t swap_room = 0;    // how much swap the group may still use
  uint64_t swap_cached = 0;  // of `anon`, what has its place in swap already
};
// Bytes that the kernel can take back without killing anybody.
uint64_t reclaimable(const Pages& pages);

// Out of memory: usage is past the line, and what is not reclaimable reaches it. Page cache passes
// memory.high all day.
bool starved(uint64_t usage, uint64_t reclaimable, uint64_t line);

// What CPUs have charged ahead (`ahead` at most) the kernel takes back of members that wait: then
// usage dips below the line though nobody has freed anything. Stopped members are out of memory
// there as well. Throttled ones charge anew when their sleep ends, of two seconds at most, and they
// get to run: soon after they were past the line they are still out of memory, then it is open, at
// last they only are near.
class DipFilter {
 public:
  static constexpr int64_t kDip = 250'000'000;
  static constexpr int64_t kSleep = 2'500'000'000;
  // From where on to ask whether a group is starved.
  static uint64_t at(uint64_t line, uint64_t band, uint64_t ahead);
  // What one is that is `starved` there, or is not.
  Need judge(int64_t now, bool starved, bool past_line, bool stopped);

 private:
  int64_t past_at_ = -kSleep;  // when it was last out of memory and past the line
};

// A load of page cache is told of a hundred times a second: while it has been fine a moment ago,
// and is no further past the line than reclaim leaves it, that is no reason to look.
class PollBackoff {
 public:
  static constexpr int64_t kPause = 100'000'000;
  void none() { until_ = 0; }
  void fine(int64_t now, uint64_t line, uint64_t band) {
    until_ = now + kPause;
    below_ = line + band / 8;
  }
  // Until when a look can wait; 0: it cannot.
  int64_t until(int64_t now, uint64_t usage) const {
    return now < until_ && usage < below_ ? until_ : 0;
  }

 private:
  int64_t until_ = 0;
  uint64_t below_ = 0;
};

// Whether an episode's members have to be stopped.
class FreezeRule {
 public:
  explicit FreezeRule(HoldFreeze mode = HoldFreeze::kIfNeeded) : mode_(mode) {}
  void begin(int64_t now, uint64_t usage) {
    at_ = now;
    usage_ = usage;
    rate_ = 0;
  }
  // `usage` of a group that is held at `line` and killed at `max`, with the deadline so far away.
  bool wanted(int64_t now, uint64_t usage, uint64_t line, uint64_t max, int64_t left_ns);

 private:
  HoldFreeze mode_;
  // The rate is measured from look to look, at least so far apart.
  int64_t at_ = 0;
  uint64_t usage_ = 0;
  double rate_ = 0;  // bytes a nanosecond
};

// How long a victim has until another one may be asked for.
constexpr int64_t kKillTakesEffect = 100'000'000;

// Whether another victim may be asked for after the last one was chosen (0: none was): not before
// it has had its time, nor, for a second, before some of its memory is back.
bool may_ask(int64_t now, int64_t chosen_at, bool freed);

// When the kernel is made to decide. Whoever still allocates runs into memory.max by himself, which
// is the kernel's own way; a group that stands still below it has to be asked about, and one for
// which no victim was found less and less often. While a victim's memory comes back nobody asks.
class AskRule {
 public:
  // The group was let go of in this episode, again or for the first time. True: ask now.
  bool due(uint32_t episode, int64_t now, uint64_t kills, uint64_t usage);

 private:
  uint32_t episode_ = 0;
  int64_t at_ = 0, wait_ = 0;
  uint64_t kills_ = 0;
  int64_t killed_at_ = 0;  // 0: nobody yet
  uint64_t usage_ = 0;
};

}  // namespace hold
}  // namespace oom
