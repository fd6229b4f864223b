// The limit of a group as others have set it (the base), and what a plan has raised it by for the
// time of an episode (the headroom). Pure; the driver writes the limits.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/rules/invariant.h"
#include "core/rules/sample.h"
#include "core/rules/timer.h"
#include "core/sys/units.h"

namespace oom {

class Headroom {
 public:
  uint64_t base() const { return base_; }
  // What the limit is raised by and not lowered again yet; also after the episode's end, while
  // usage does not allow it.
  uint64_t raised_by() const { return raised_by_; }
  uint64_t limit() const { return saturating_add(base_, raised_by_); }
  bool raised() const { return raised_by_ > 0; }

  // Follows the limit: what is above base and headroom another process has raised, what is below
  // was lowered (by this library or another process), first from the headroom. True: another
  // process has raised it.
  bool observe(uint64_t limit) {
    // A step that is under way shows before it has answered.
    bool ours = limit == under_way_ || limit == stray_;
    if (limit > this->limit() && !ours) {
      base_ = limit;
      raised_by_ = 0;
      return true;
    }
    if (limit < base_) {
      base_ = limit;
      raised_by_ = 0;
    } else if (limit < this->limit()) {
      raised_by_ = limit - base_;
    }
    OOM_INVARIANT(ours || this->limit() == limit);
    OOM_INVARIANT(base_ <= limit);
    return false;
  }
  // The program wants this base from now on. False: it is not above the present one.
  bool raise_base(uint64_t bytes) {
    if (bytes <= base_) return false;
    uint64_t total = limit();
    base_ = bytes;
    raised_by_ = total > base_ ? total - base_ : 0;
    OOM_INVARIANT(limit() >= total);
    return true;
  }

  void episode_begins() {
    OOM_INVARIANT(under_way_ == 0);
    granted_ = 0;
    ask_.stop();
  }
  void episode_ends() {
    if (under_way_ > 0) stray_ = under_way_;
    under_way_ = 0;
    ask_.stop();
  }

  // What a step of `bytes` raises the limit to, on top of the episode's earlier steps. In whole
  // pages of any size that Linux has, so that it reads back the same.
  uint64_t target(uint64_t bytes) const {
    return saturating_add(base_, saturating_add(granted_, bytes)) & ~(kLargestPage - 1);
  }
  // A step is about to raise the limit to this; 0: the step that begins does not.
  void announce(uint64_t target) {
    OOM_INVARIANT(under_way_ == 0);
    under_way_ = target;
  }
  // The running step's answer, `bytes` as planned; `to`: what it wrote, 0: as announced.
  void answered(bool done, uint64_t to, uint64_t bytes) {
    if (to == 0) to = under_way_;
    under_way_ = 0;
    if (!done || to == 0) return;
    granted_ = saturating_add(granted_, bytes);
    credit(to);
  }
  // The answer of a step whose episode has ended before.
  void answered_late(bool done, uint64_t to) {
    uint64_t written = to > 0 ? to : stray_;
    if (to > 0) stray_ = 0;
    if (done && written > 0) credit(written);
  }

  // Past the deadline with headroom raised and no task waiting: page cache may fill it, which is no
  // reason to kill. So it is called in first.
  enum class CallIn : uint8_t { kOver, kWait, kLowerNow };
  CallIn call_in(int64_t now) {
    if (!called_.runs()) call_again_.start(now);
    called_.start(now);
    if (called_.lasted(now, kCallIn)) return CallIn::kOver;
    if (!call_again_.fired(now)) return CallIn::kWait;
    call_again_.start(now + kCallAgain);
    return CallIn::kLowerNow;
  }
  // The deadline has moved.
  void deadline_moved() { called_.stop(); }

  // Without an episode: whether to lower the limit now. Asks again after 50 ms, and each time twice
  // as late, up to 1 s.
  bool lower_when_idle(int64_t now) {
    if (!raised()) {
      ask_.stop();
      return false;
    }
    if (!ask_.runs()) {
      every_ = kFirst;
      ask_.start(now + every_);
      return false;
    }
    if (!ask_.fired(now)) return false;
    every_ = std::min(2 * every_, kMost);
    OOM_INVARIANT(every_ > kFirst);
    ask_.start(now + every_);
    return true;
  }
  // kNever: not without a reason.
  int64_t next_ask() const { return ask_.at(); }

 private:
  static constexpr uint64_t kLargestPage = 65536;
  // How long restoring the limit may take when headroom is needed back, and how often it is tried.
  static constexpr int64_t kCallIn = 50 * kMs;
  static constexpr int64_t kCallAgain = 10 * kMs;
  static constexpr int64_t kFirst = 50 * kMs;
  static constexpr int64_t kMost = 1000 * kMs;

  void credit(uint64_t to) {
    if (to > base_) raised_by_ = std::max(raised_by_, to - base_);
    OOM_INVARIANT(limit() >= to);
    OOM_INVARIANT(raised_by_ <= UINT64_MAX - base_);
  }

  uint64_t base_ = 0;
  uint64_t raised_by_ = 0;
  uint64_t granted_ = 0;    // by this episode's steps
  uint64_t under_way_ = 0;  // where the running step raises the limit to
  uint64_t stray_ = 0;      // the same of a step that had not answered when its episode ended
  Since called_;
  Timer call_again_;
  Timer ask_;
  int64_t every_ = 0;
};

}  // namespace oom
