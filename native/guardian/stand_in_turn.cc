// Whose turn it is, the sentinel's or the guardian's: what the slot says of the sentinel's episode,
// beside what this process has seen begin and end itself. The rest of StandIn is in stand_in.cc.
#include <algorithm>

#include "guardian/stand_in.h"

namespace oom::guardian {
namespace {

// Whoever has claimed a fallback has so long to carry it out.
constexpr int64_t kFollow = 100 * kMs;

}  // namespace

// The slot, while the sentinel has an episode whose end is not this process's work.
SharedSlot* StandIn::heard(uint32_t& episode) const {
  SharedSlot* slot = this->slot();
  if (!slot) return nullptr;
  // Before the deadline: a claim that succeeds is for the episode whose deadline was read.
  episode = slot->claim.load() >> 2;
  SlotState state = slot->state.load();
  // One whose fallback is the kernel's goes on until the kernel has been let in, also where it has
  // not been heard of before.
  bool known = followed_ != 0 ? episode == followed_ : episode != told_;
  bool running = state == SlotState::kEpisode || (state == SlotState::kKernel && known);
  return running && episode != spent_ ? slot : nullptr;
}

// Whether the sentinel has seen an end since: of the episode that was being followed, or of one
// that has begun and ended while this process did not look.
bool StandIn::is_over() const {
  uint32_t episode;
  if (followed_ != 0) return !heard(episode);
  SharedSlot* slot = this->slot();
  return slot && slot->claim.load() >> 2 != told_ && slot->state.load() == SlotState::kArmed;
}

// Whether it has seen the end of the one that this process has ended in its place, and holds again:
// what is out of memory now is so anew.
bool StandIn::seen_over() const {
  SharedSlot* slot = this->slot();
  bool acted = machine_.active() && machine_.phase() != EpisodeMachine::Phase::kDelaying;
  if (!slot || !terms_.parent_alive || !acted || spent_in_ != machine_.id()) return false;
  return slot->claim.load() >> 2 != spent_ || slot->state.load() == SlotState::kArmed;
}

// `anew`: right after an end.
void StandIn::restart(int64_t now, int64_t deadline, bool anew) {
  since_ = now;
  own_deadline_ = deadline;
  followed_ = 0;
  lag_ns_ = 0;
  SharedSlot* slot = this->slot();
  uint32_t claim = slot ? slot->claim.load() : 0;
  told_ = claim >> 2;
  // What the sentinel has done takes effect first; what it still does is waited for at the
  // deadline.
  bool acted = slot && claim == SharedSlot::word(told_, Claimant::kSentinel) &&
               slot->state.load() == SlotState::kArmed;
  if (anew && acted) own_deadline_ = std::max(own_deadline_, now + kFollow);
}

// When the group's time is over: as the sentinel says, else as this process has seen it begin.
int64_t StandIn::deadline(int64_t now) {
  // If it is out of memory after that, it is so anew.
  if (is_over()) restart(now, now + machine_.config().delay_ns, true);
  uint32_t episode;
  SharedSlot* slot = heard(episode);
  int64_t when = own_deadline_;
  if (slot) {
    if (followed_ == 0) {
      lag_ns_ = slot->started_at.load() - since_;
      if (lag_ns_ <= terms_.grace_ns) lag_ns_ = 0;
    } else if (followed_ != episode) {
      lag_ns_ = 0;
    }
    followed_ = episode;
    when = slot->deadline.load() - lag_ns_;
    // It still speaks of an OOM that this process knows to be over: the one that is now has its own
    // time.
    if (slot->started_at.load() < fine_at_) when = std::max(when, own_deadline_);
  }
  when = std::max(when, open_at_);
  return terms_.parent_alive ? when + terms_.grace_ns : when;
}

// Whether the fallback is this process's to carry out.
bool StandIn::may_act(int64_t now) {
  SharedSlot* slot = this->slot();
  if (!slot) return true;
  uint32_t episode = slot->claim.load() >> 2;
  SlotState state = slot->state.load();
  bool claimed = slot->claim.load() == SharedSlot::word(episode, Claimant::kSentinel);
  if (claimed && waived_ == episode && now < waived_until_) return false;
  if ((state != SlotState::kEpisode && state != SlotState::kKernel) || episode == spent_) {
    return true;
  }
  if (!slot->claim_for(episode, Claimant::kGuardian)) {
    if (waived_ != episode) {
      waived_ = episode;
      waived_until_ = now + kFollow;
    }
    if (now < waived_until_) return false;
    slot->take_from_sentinel(episode);
  }
  spent_ = episode;
  spent_in_ = machine_.id();
  return true;
}

// When this process sees an OOM begin and end.
void StandIn::witness(Do what) {
  if (what == Do::kBegin) {
    int64_t now = machine_.started_at(), whole = now + machine_.config().delay_ns;
    int64_t until = machine_.deadline();
    // What is left of the one before has its grace in it.
    if (until < whole && terms_.parent_alive) until = std::max(until - terms_.grace_ns, now);
    restart(now, until, machine_.end().at == now);
  }
  if (what == Do::kEnd) fine_at_ = machine_.end().at;
}

// A delay of 0 is the parent's to carry out, while it does: it may have set another one since, of
// which we have not heard yet.
bool StandIn::is_parents_turn() {
  if (!terms_.parent_alive || machine_.config().delay_ns != 0) return false;
  int64_t now = terms_.hands->now();
  if (wanted_at_ == 0) wanted_at_ = now;
  return now < wanted_at_ + terms_.grace_ns;
}

}  // namespace oom::guardian
