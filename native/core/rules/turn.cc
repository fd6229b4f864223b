#include "core/rules/turn.h"

#include <algorithm>

namespace oom {

// Whether the slot speaks of an episode whose end is not this process's work.
bool Turn::heard(const SlotView& slot) const {
  if (!slot.there || slot.episode == spent_) return false;
  // One whose fallback is the kernel's goes on until the kernel has been let in, also where it has
  // not been heard of before.
  bool known =
      followed_ != 0 ? slot.episode == followed_ || ends_this(slot) : slot.episode != told_;
  return slot.state == SlotState::kEpisode || (slot.state == SlotState::kKernel && known);
}

// Whether the end that the slot tells of is that of the OOM which this process sees, not of one
// before it: a sentinel that was stopped sees that one's end late.
bool Turn::ends_this(const SlotView& slot) const {
  return !slot.there || slot.relieved_at >= since_;
}

// It has seen the end of the one that this process follows, and another one begin since.
bool Turn::next_has_begun(const SlotView& slot) const {
  bool next = followed_ != 0 && slot.episode != followed_ && slot.episode != spent_;
  return next && slot.there && slot.state == SlotState::kEpisode && ends_this(slot);
}

bool Turn::is_over(const SlotView& slot, const OwnEpisode& own) const {
  // What this process has ended itself is over when the sentinel has seen so.
  if (own.acted && spent_in_ == own.id) return seen_over(slot, own);
  if (followed_ != 0) return !heard(slot) && ends_this(slot);
  // One that has begun and ended while this process did not sample.
  return slot.there && slot.episode != told_ && is_idle(slot.state) && ends_this(slot);
}

bool Turn::seen_over(const SlotView& slot, const OwnEpisode& own) const {
  if (!slot.there || !own.acted) return false;
  // Another delay counts from where it is set, also for an OOM whose end has not come.
  if (delayed_ == own.id && slot.state == SlotState::kArmed) return true;
  if (spent_in_ == own.id) {
    return is_idle(slot.state) || (slot.episode != spent_ && ends_this(slot));
  }
  // The sentinel had not published this OOM when the guardian acted.
  return slot.episode != told_ && is_idle(slot.state);
}

// Whether the sentinel has claimed it, or a guardian before this one.
bool Turn::is_anothers(const SlotView& slot) const {
  // An episode that the sentinel begins in an OOM that this process has acted in is its own.
  bool own = slot.episode == spent_ || slot.claimed_at == acted_at_;
  bool before = slot.claimant == Claimant::kGuardian && !own;
  return slot.claimant == Claimant::kSentinel || before;
}

// Whether what another process has claimed or done has had its time.
bool Turn::had_its_time(int64_t now, const SlotView& slot) {
  int64_t until = slot.claimed_at + kTakenAfter;
  waive(slot.episode, waived_ == slot.episode ? std::max(waived_until_, until) : until);
  return now >= waived_until_;
}

void Turn::begins(int64_t now, int64_t deadline, const SlotView& slot) {
  since_ = now;
  own_deadline_ = deadline;
  follow_none(slot);
}

void Turn::follow_none(const SlotView& slot) {
  followed_ = 0;
  told_ = slot.there ? slot.episode : 0;
  // What the sentinel has done takes effect first; what it still does is waited for at the
  // deadline.
  bool acted = slot.there && slot.claimant == Claimant::kSentinel && is_idle(slot.state);
  effect_until_ = acted ? slot.claimed_at + kFollow : 0;
}

int64_t Turn::deadline(int64_t now, const SlotView& slot, int64_t delay) {
  bool ended =
      followed_ != 0 ? !heard(slot) : slot.there && slot.episode != told_ && is_idle(slot.state);
  // Any OOM after this point is a new one; one that began behind the end goes on.
  if (ended && ends_this(slot)) {
    begins(now, now + delay, slot);
  } else if (ended) {
    follow_none(slot);
  }
  int64_t when = std::max(own_deadline_, effect_until_);
  if (heard(slot)) {
    if (followed_ != slot.episode) {
      // The first that tells of this OOM tells how much later the sentinel has seen it; what it has
      // done before has cleared the clock.
      bool before = slot.claimant == Claimant::kNobody;
      int64_t since = before ? std::max(since_, slot.claimed_at) : since_;
      bool first = followed_ == 0 || !ends_this(slot);
      lag_ns_ = first ? slot.started_at - since : 0;
      if (lag_ns_ <= kInTime) lag_ns_ = 0;
    }
    followed_ = slot.episode;
    OOM_INVARIANT(followed_ != 0 && followed_ != spent_);
    OOM_INVARIANT(lag_ns_ >= 0);
    when = slot.deadline - lag_ns_;
    if (lag_ns_ > 0) when = std::max(when, effect_until_);
    // It still speaks of an OOM that this process knows to be over: the one that is now has its own
    // time.
    if (slot.started_at < fine_at_) when = std::max({when, own_deadline_, effect_until_});
  }
  return std::max(when, unclear_at_);
}

}  // namespace oom
