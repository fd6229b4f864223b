// Whether a group thrashes: it stands at its limit and is not out of memory, but all of its tasks
// stall while the kernel takes back what they read again right after. Pure.
//
// Kernel contract (Documentation/accounting/psi.rst): `full` in memory.pressure counts the time in
// which every task with work to do waits for memory. That has reclaim for files that are read once
// in it, and the sleep of a task past memory.high, which is the hold's own. What sets a group that
// thrashes apart are pages that were in use, were reclaimed and are read back (in memory.stat:
// workingset_refault_anon, which is what was swapped in, and workingset_restore_file): of a window as
// much stall counts as these can have caused. Not of the time between two samples, since kernels add
// such pages up late, in batches.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/rules/config.h"
#include "core/rules/sample.h"
#include "core/rules/stall_window.h"
#include "core/rules/timer.h"

namespace oom {

class Thrash {
 public:
  Thrash() : Thrash(ThrashConfig{}) {}
  explicit Thrash(const ThrashConfig& config)
      : config_(config), window_(fresh()), causes_(fresh()) {}

  // Whether the next sample is to have the stalls.
  bool due(int64_t now) const { return config_.on() && now >= due_at_; }
  // When to sample for that alone. kNever: the group has not stalled for a window, and the kernel
  // notifies when it takes memory back at the limit.
  int64_t next() const { return watching_ ? due_at_ : kNever; }

  // A sample of a group without an episode, or in one that began for this.
  void observe(int64_t now, const Sample& s) {
    if (!due(now)) return;
    due_at_ = now + window_.step_ns();
    if (!s.stalls.known) return age(now);
    if (!watching_) return begin(now, s.stalls);
    const bool counts = s.stalls.at_edge && s.need < Need::kUnclear;
    if (counts && s.stalls.full_us > seen_.full_us) {
      stalled_us_ += s.stalls.full_us - seen_.full_us;
      stalled_at_ = now;
    }
    if (counts) caused_us_ += caused_us(s.stalls);
    seen_ = s.stalls;
    const bool caused = causes_.enough(now, caused_us_);
    enough_ = window_.enough(now, stalled_us_) && caused;
    if (enough_) enough_at_ = now;
    if (s.stalls.at_edge) below_.stop();
    if (!s.stalls.at_edge) below_.start(now);
    age(now);
  }

  // As much as configured was stalled within the last window.
  bool begins() const { return enough_; }
  // In an episode that began so: it has been so within a window, and usage has not dropped.
  bool lasts() const { return lasts_; }
  void episode_begins() { lasts_ = true; }
  // What was stalled before does not count any more.
  void forget() {
    watching_ = enough_ = lasts_ = false;
    seen_ = {};
  }

 private:
  StallWindow fresh() const {
    return StallWindow(static_cast<uint64_t>(config_.stall_ns / 1000),
                       static_cast<uint64_t>(config_.window_ns / 1000));
  }
  // What pages that were read back since the last sample can have caused.
  uint64_t caused_us(const Stalls& now) const {
    if (now.restored <= seen_.restored) return 0;
    return std::min(now.restored - seen_.restored, kMostPages) * kPageUs;
  }
  // A group that is full and idle has not stalled since it was sampled last.
  void begin(int64_t now, const Stalls& stalls) {
    watching_ = stalls.at_edge && seen_.known && stalls.full_us > seen_.full_us;
    seen_ = stalls;
    window_ = causes_ = fresh();
    window_.begin(now, stalled_us_);
    causes_.begin(now, caused_us_);
    stalled_at_ = now;
  }
  void age(int64_t now) {
    const bool dropped = below_.lasted(now, window_.step_ns());
    if (dropped || now - enough_at_ >= config_.window_ns) lasts_ = false;
    if (!lasts_ && now - stalled_at_ >= config_.window_ns) watching_ = false;
  }

  // Until a page has come from a disk that is busy.
  static constexpr uint64_t kPageUs = 20'000;
  static constexpr uint64_t kMostPages = 1'000'000'000;

  ThrashConfig config_;
  StallWindow window_;
  StallWindow causes_;
  int64_t due_at_ = 0;
  Stalls seen_;
  // In all, of samples that count.
  uint64_t stalled_us_ = 0;
  uint64_t caused_us_ = 0;
  int64_t stalled_at_ = 0;  // when it was last seen to have stalled so
  int64_t enough_at_ = 0;
  Since below_;  // since when usage is below the limit
  bool watching_ = false;
  bool enough_ = false;
  bool lasts_ = false;
};

}  // namespace oom
