// Where a v2 group is held, and when holding it takes more than throttling: the pure half of
// v2_memory_high.h.
//
// cgroup v2 has no switch for the kernel's killer. A guarded group is held at a line below
// memory.max instead: memory.high = max - band. Past it the kernel throttles tasks that allocate,
// the harder the further it is past, relative to the line: nothing up to about 2 %, then a group
// creeps. What throttling lets through is what the band is for; cgroup.freeze stops the rest.
#pragma once

#include <cstdint>

#include "core/rules/sample.h"
#include "core/rules/stop_choice.h"

namespace oom {

enum class HoldFreeze : uint8_t { kIfNeeded, kAlways, kNever };

enum class HoldBy : uint8_t {
  kKernel,   // memory.oom_control (v1), memory.high (v2)
  kSignals,  // rules/signal_line.h
};

struct HoldConfig {
  uint64_t band = 0;  // 0: the default
  HoldFreeze freeze = HoldFreeze::kIfNeeded;
  HoldBy by = HoldBy::kKernel;
  Who who = Who::kChildren;  // by signals
};

namespace hold {

// memory.max less the band, in whole pages; kUnlimited: without a limit there is none.
uint64_t line(uint64_t max, const HoldConfig& config);

// Where memory.max goes for the moment in which the kernel is made to decide. It first takes back
// what CPUs have charged ahead (`ahead` at most): at the line itself a group would then fit, no
// process would be killed, and its members would be back past the line a moment later.
uint64_t lowered_limit(uint64_t max, const HoldConfig& config, uint64_t ahead);

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
// usage dips below the line though no process has freed anything. Stopped members are out of memory
// there as well. Throttled ones charge again when their sleep ends, of two seconds at most, and
// they get to run: soon after they were past the line they are still out of memory, then it is
// open, at last they only are near.
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

// A group that fills page cache notifies a hundred times a second. If its last sample was fine and
// usage is no further past the line than reclaim leaves it, it need not be sampled for each.
class PollBackoff {
 public:
  static constexpr int64_t kPause = 100'000'000;
  void none() { until_ = 0; }
  void fine(int64_t now, uint64_t line, uint64_t band) {
    until_ = now + kPause;
    below_ = line + band / 8;
  }
  // Until when the next sample can wait; 0: it cannot.
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
  // The rate is measured between two samples that have a minimum distance.
  int64_t at_ = 0;
  uint64_t usage_ = 0;
  double rate_ = 0;  // bytes a nanosecond
};

// How long a victim has to free memory before the kernel may be made to choose another one (ns).
constexpr int64_t kKillTakesEffect = 100'000'000;

// Whether the kernel may be made to choose another victim (`chosen_at` 0: there was none): not
// before kKillTakesEffect has passed, nor, for a second, before the last one has freed some memory.
bool may_ask(int64_t now, int64_t chosen_at, bool freed);

// When the kernel is made to choose a victim. A task that still allocates runs into memory.max by
// itself; for a group that stands still below it the driver must act, less and less often if no
// victim is found, and not while a victim still frees memory.
class AskRule {
 public:
  // Called when the group was released in this episode. True: make the kernel choose now.
  bool due(uint32_t episode, int64_t now, uint64_t kills, uint64_t usage);

 private:
  uint32_t episode_ = 0;
  int64_t at_ = 0, wait_ = 0;
  uint64_t kills_ = 0;
  // 0: no process was killed yet.
  int64_t killed_at_ = 0;
  uint64_t usage_ = 0;
};

}  // namespace hold
}  // namespace oom
