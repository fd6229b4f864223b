// One guarded group's slot in memory shared with the guardian (shared_state.h): shows the guardian
// the group's state, and decides which of both processes carries out an episode's fallback.
//
// Runs on the sentinel, except act(), which helpers call. If the guard has no guardian
// there is no slot: nothing is published, and the sentinel carries out every fallback.
//
// Contract rule kept here: each change of the group is published before it is made, so that the
// guardian can undo it if this process ends in between.
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
  // `frozen`: the members are frozen, or are about to be.
  void publish(const EpisodeMachine& machine, bool frozen);
  // After the guard has given the killer back for good.
  void released() {
    if (slot_) publish_released(*slot_);
  }
  // Before the limit is raised.
  void announce_headroom(const EpisodeMachine& machine, uint64_t bytes);
  // Whether the sentinel may carry out this episode's fallback; if the guardian has claimed it,
  // `answer` is called with the input that reports so to the machine.
  template <class Answer>
  bool claim(const EpisodeMachine& machine, Answer&& answer) {
    return !slot_ || oom::claim(*slot_, machine, sys::now_ns(), answer);
  }
  bool guardian_acted(const EpisodeMachine& machine) const {
    return slot_ && claimed_by_guardian(*slot_, machine);
  }
  // Call before each step of the machine. True: `out`, an OOM that the guardian has ended without
  // this process, comes first.
  bool take_unseen(const EpisodeMachine& machine, int64_t now, Input& given, Input& out) {
    return slot_ && unseen_.take(*slot_, machine, now, given, out);
  }
  int64_t next() const { return unseen_.next(); }
  // When the fallback was last claimed; 0: there is no guardian.
  int64_t claimed_at() const { return slot_ ? slot_->claimed_at.load() : 0; }
  // Call when it is carried out, on a helper too, which may run late: false if the guardian has it
  // meanwhile. Tells the guardian when it was carried out.
  bool act(uint32_t episode) {
    return !slot_ || slot_->act_for(episode, Claimant::kSentinel, sys::now_ns());
  }
  // Call before the kernel is let in: if this process ends before it can call act(), what takes
  // effect counts from here.
  void announce_release(uint32_t episode) {
    if (slot_ && notice_.due(episode, sys::now_ns())) (void)act(episode);
  }

 private:
  SharedSlot* slot_ = nullptr;
  UnseenActs unseen_;
  ReleaseNotice notice_;
  Hold& hold_;
  HeadroomFiles& headroom_;
};

}  // namespace oom
