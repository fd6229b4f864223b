// What the guardian sees of a guarded group, and who of both carries out an episode's fallback.
#include <algorithm>

#include "core/guard/guarded_group.h"
#include "core/guardian_link/link.h"
#include "core/guardian_link/slot_writer.h"
#include "core/sys/small_file.h"

namespace oom {

GuardedGroup::~GuardedGroup() { free_slot(); }

void GuardedGroup::free_slot() {
  if (!slot_) return;
  back_end_->share(nullptr);
  GuardianLink::free_slot(*slot_);
  slot_ = nullptr;
}

void GuardedGroup::publish() {
  if (!slot_) return;
  oom::publish(*slot_, machine_,
               {.open = back_end_->raised(),
                .to = back_end_->raised_to(),
                .memsw = back_end_->own_memsw(),
                .frozen = freezing_ || back_end_->frozen()});
}

void GuardedGroup::announce_loan(uint64_t to) {
  if (!slot_) return;
  oom::announce_loan(
      *slot_, machine_,
      {.to = std::max(to, back_end_->raised_to()), .memsw = back_end_->memsw_before()});
}

bool GuardedGroup::claim() {
  return !slot_ ||
         oom::claim(*slot_, machine_, sys::now_ns(), [this](const Input& input) { answer(input); });
}

// On a helper.
bool GuardedGroup::still_claimed(uint32_t episode) {
  return !slot_ || slot_->claim_for(episode, Claimant::kSentinel, sys::now_ns());
}

bool GuardedGroup::guardian_acted() const {
  return slot_ && oom::claimed_by_guardian(*slot_, machine_);
}

// A guardian that has gone may have held it, or let it go, by what it had not heard of yet.
void GuardedGroup::hold_again(Sentinel& sentinel) {
  if (!taken_ || gone_) return;
  switch_.doubt();
  step(sentinel, Fact::kLooked, sys::now_ns());
}

void GuardedGroup::abandon(Sentinel& sentinel, int err) {
  switch_.doubt();
  Input input;
  input.fact = Fact::kSetDelay;
  input.ns = 0;
  command(sentinel, input);
  if (err != 0) reports_.trouble(sentinel, sys::now_ns());
}

}  // namespace oom
