// What the guardian sees of a guarded group, and who of both carries out an episode's fallback.
#include "core/guarded_group.h"
#include "core/sys.h"

namespace oom {

void GuardedGroup::free_slot() {
  if (slot_) slot_->state.store(SlotState::kFree);
  slot_ = nullptr;
}

// Before and after each turn of the machine is carried out.
void GuardedGroup::publish() {
  if (!slot_) return;
  if (uint32_t id = machine_.id(); slot_->claim.load() >> 2 != id) {
    slot_->claim.store(SharedSlot::word(id, Claimant::kNobody));
  }
  slot_->deadline.store(machine_.deadline());
  slot_->started_at.store(machine_.started_at());
  slot_->own_limit.store(hot_.lent() ? machine_.base_limit() : 0);
  slot_->own_memsw.store(hot_.own_memsw());
  slot_->frozen.store(hot_.frozen());
  bool kernel = machine_.phase() == EpisodeMachine::Phase::kKernel;
  slot_->state.store(kernel              ? SlotState::kKernel
                     : machine_.active() ? SlotState::kEpisode
                                         : SlotState::kArmed);
}

// Whether this episode's fallback is ours; if not, the machine is told who it was.
bool GuardedGroup::claim() {
  if (!slot_ || !machine_.active() || slot_->claim_for(machine_.id(), Claimant::kSentinel)) {
    return true;
  }
  Input input;
  input.fact = Fact::kGuardianActed;
  answer(input);
  return false;
}

bool GuardedGroup::guardian_acted() const {
  return slot_ && machine_.phase() == EpisodeMachine::Phase::kDelaying &&
         slot_->claim.load() == SharedSlot::word(machine_.id(), Claimant::kGuardian);
}

void GuardedGroup::hold_again(Sentinel& sentinel) {
  if (!taken_ || gone_ || !machine_.holding() || hot_.hold() == 0) return;
  Input input;
  input.fact = Fact::kSwitchFailed;
  command(sentinel, input);
}

void GuardedGroup::abandon(Sentinel& sentinel, int err) {
  Input input;
  input.fact = Fact::kSetDelay;
  input.ns = 0;
  command(sentinel, input);
  if (!gone_) hot_.let_go();
  if (err != 0) reports_.trouble(sentinel, sys::now_ns(), err);
}

}  // namespace oom
