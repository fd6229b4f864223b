// What the guardian sees of one guarded group, and who of both carries out an episode's fallback:
// the group's slot in shared memory (shared_state.h), if its guard has a guardian.
//
// Runs on the sentinel, but for still_claimed(), which is a helper's. Without a slot there is
// nothing to publish, and every fallback is ours.
//
// Contract rule kept here: a process that ends between two steps leaves nothing behind that nobody
// knows of.
#pragma once

#include <cstdint>

#include "core/guardian_link/slot_writer.h"
#include "core/memcg/back_end.h"
#include "core/sys/small_file.h"

namespace oom {

class GuardianSlot {
 public:
  GuardianSlot(Hold& hold, HeadroomFiles& headroom) : hold_(hold), headroom_(headroom) {}
  ~GuardianSlot();
  GuardianSlot(const GuardianSlot&) = delete;
  GuardianSlot& operator=(const GuardianSlot&) = delete;

  // Before the group is held. The slot is freed with this object.
  void set(SharedSlot& slot);
  // `frozen`: the members stand still, or are about to.
  void publish(const EpisodeMachine& machine, bool frozen);
  // Before the limit is raised.
  void announce_headroom(const EpisodeMachine& machine, uint64_t bytes);
  // Whether this episode's fallback is ours; if not, `answer` has the machine told whose it was.
  template <class Answer>
  bool claim(const EpisodeMachine& machine, Answer&& answer) {
    return !slot_ || oom::claim(*slot_, machine, sys::now_ns(), answer);
  }
  bool guardian_acted(const EpisodeMachine& machine) const {
    return slot_ && claimed_by_guardian(*slot_, machine);
  }
  // When the fallback was last claimed; 0: it is not shared with a guardian.
  int64_t claimed_at() const { return slot_ ? slot_->claimed_at.load() : 0; }
  // On a helper, which may have come late: whether the guardian has not acted meanwhile.
  bool still_claimed(uint32_t episode) {
    return !slot_ || slot_->claim_for(episode, Claimant::kSentinel, sys::now_ns());
  }

 private:
  SharedSlot* slot_ = nullptr;
  Hold& hold_;
  HeadroomFiles& headroom_;
};

}  // namespace oom
