// Whose turn it is to end an out-of-memory, the sentinel's or the guardian's: what the guardian
// goes by. It reads the sentinel's episode in the shared slot (guardian_link/shared_state.h) and
// knows what it has itself seen begin and end. Pure: over copies of the slot.
//
// The rules: the sentinel's deadline, however often it is moved, is waited for, and then the grace;
// a fallback that another process has claimed is that one's, unless it does not follow; an
// out-of-memory that a sentinel has slept through counts from where it began.
#pragma once

#include <cstdint>

#include "core/rules/invariant.h"

namespace oom {

enum class SlotState : uint8_t {
  kFree,
  kArmed,     // held, no episode
  kEpisode,   // user space decides until `deadline`
  kKernel,    // the kernel has its killer for a moment
  kReleased,  // not held: the delay is 0
};

// Without an episode.
constexpr bool is_idle(SlotState state) {
  return state == SlotState::kArmed || state == SlotState::kReleased;
}

enum class Claimant : uint32_t { kNobody, kSentinel, kGuardian };

// One reading of the slot.
struct SlotView {
  bool there = false;  // the group has a slot
  SlotState state = SlotState::kFree;
  uint32_t episode = 0;
  Claimant claimant = Claimant::kNobody;  // of its fallback
  int64_t claimed_at = 0;                 // when it was made, or carried out
  int64_t deadline = 0;
  int64_t started_at = 0;
  int64_t relieved_at = 0;  // the last episode's OOM was over at this time or later
};

// The guardian's own episode, as its machine has it.
struct OwnEpisode {
  uint32_t id = 0;
  bool acted = false;  // its fallback has begun
};

class Turn {
 public:
  // What a process has claimed it carries out within this time.
  static constexpr int64_t kFollow = 100'000'000;
  // The guardian takes a claim over after this time: a sentinel whose kill has had no effect within
  // kFollow lets the kernel in first, and so it does where a guardian has died with its claim. With
  // the grace before, this stays below the 250 ms of the promise.
  static constexpr int64_t kTakenAfter = kFollow + 10'000'000;
  // A sentinel that sees an OOM begin no later than this is in time.
  static constexpr int64_t kInTime = 10'000'000;

  // A sample without an episode of the guardian's: not out of memory.
  void fine(int64_t now) { fine_at_ = now; }
  // A sample that says neither, in which the sentinel waits.
  void unclear(int64_t now) { unclear_at_ = now; }
  // The guardian's episode begins; `deadline` without the grace.
  void begins(int64_t now, int64_t deadline, const SlotView& slot);
  void ends(int64_t at) { fine_at_ = at; }
  // The program has set another delay. `let_in`: the own episode in which this process has let the
  // kernel in before; 0: it has not.
  void delay_set(int64_t deadline, uint32_t let_in) {
    own_deadline_ = deadline;
    delayed_ = let_in;
  }

  // Whether the sentinel has seen the end of what the guardian takes for out of memory.
  bool is_over(const SlotView& slot, const OwnEpisode& own) const;
  // Whether it has seen the end of what the guardian has ended in its place: an OOM that shows now
  // is a new one.
  bool seen_over(const SlotView& slot, const OwnEpisode& own) const;

  // Whether the OOM that this process sees is one that has begun while it did not look: what it has
  // seen before is no part of it.
  bool next_has_begun(const SlotView& slot) const;

  // When the group's time is over: as the sentinel says, else as this process has seen it begin.
  // Without the grace.
  int64_t deadline(int64_t now, const SlotView& slot, int64_t delay);

  // Whether the fallback is the guardian's to carry out now; if not, put_off() says until when the
  // sentinel has time. `claim` claims it in the slot and says whether that went well; `take` takes
  // it from a sentinel that has not followed.
  template <class Claim, class Take>
  bool may_act(int64_t now, const SlotView& slot, const OwnEpisode& own, Claim&& claim,
               Take&& take) {
    if (slot.claimant == Claimant::kSentinel && waits_for(slot.episode, now)) return false;
    bool running = slot.state == SlotState::kEpisode || slot.state == SlotState::kKernel;
    if (!slot.there) return true;
    if (!running) {
      // What the sentinel has done takes effect, also where its episode is over.
      int64_t until = slot.claimed_at + kFollow;
      bool sentinels = slot.claimant == Claimant::kSentinel && slot.claimed_at > acted_at_;
      if (!sentinels || now >= until) return true;
      waive(slot.episode, until);
      return false;
    }
    // 0 stands for none.
    OOM_INVARIANT(slot.episode != 0);
    if (is_anothers(slot)) {
      if (!had_its_time(now, slot)) return false;
      take(slot.episode);
    } else if (!claim(slot.episode)) {
      // The sentinel has just been faster.
      if (waived_ != slot.episode) waive(slot.episode, now + kFollow);
      return false;
    }
    spent_ = slot.episode;
    spent_in_ = own.id;
    return true;
  }
  int64_t put_off() const { return waived_until_; }
  // This process acts, and says so in the slot.
  void acts(int64_t now) { acted_at_ = now; }

 private:
  bool heard(const SlotView& slot) const;
  bool ends_this(const SlotView& slot) const;
  void follow_none(const SlotView& slot);
  bool is_anothers(const SlotView& slot) const;
  bool had_its_time(int64_t now, const SlotView& slot);
  void waive(uint32_t episode, int64_t until) {
    waived_ = episode;
    waived_until_ = until;
  }
  bool waits_for(uint32_t episode, int64_t now) const {
    return waived_ == episode && now < waived_until_;
  }

  int64_t since_ = 0;  // when this process has seen it begin
  int64_t own_deadline_ = 0;
  int64_t effect_until_ = 0;  // what the sentinel has done before takes effect until then
  int64_t fine_at_ = 0;       // when it has last seen that the group was not out of memory
  int64_t unclear_at_ = 0;    // and when it could not be read
  uint32_t followed_ = 0;     // the sentinel's episode that is being followed
  uint32_t told_ = 0;         // the last one in the slot when this OOM was seen to begin
  int64_t lag_ns_ = 0;        // how much later than this process it has seen it begin
  int64_t acted_at_ = 0;      // when this process has last acted
  uint32_t spent_ = 0;        // the sentinel's episode that this process has ended
  uint32_t spent_in_ = 0;     // in which of its own
  uint32_t delayed_ = 0;      // in which of its own the delay was set after the kernel was let in
  uint32_t waived_ = 0;       // the one whose fallback another process has claimed:
  int64_t waived_until_ = 0;  // its time to follow
};

}  // namespace oom
