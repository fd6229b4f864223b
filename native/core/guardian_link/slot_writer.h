// Publishes one group's state for the guardian and claims a fallback: the writing half of
// shared_state.h, the same for real groups and for simulated ones.
//
// Runs on the sentinel, which calls publish() before and after it carries out each turn of the
// machine: if it ends in between, the guardian knows of every change that it has made.
#pragma once

#include <algorithm>

#include "core/guardian_link/shared_state.h"
#include "core/rules/episode.h"
#include "core/rules/turn.h"

namespace oom {

struct RaisedLimit {
  bool open = false;    // the limit is or may be raised
  uint64_t to = 0;      // the highest value it was raised to
  uint64_t memsw = 0;   // the limit with swap before the raise; 0: unchanged
  bool frozen = false;  // the members are frozen
};

// Publishes the episode's fields, then its id, then the state; readers load in reverse order.
inline void publish(SharedSlot& slot, const EpisodeMachine& machine, const RaisedLimit& raised) {
  slot.delay_ms.store(static_cast<int32_t>(machine.config().delay_ns / kMs));
  slot.deadline.store(machine.deadline());
  slot.started_at.store(machine.started_at());
  slot.set_relieved(machine.end().relieved_at);
  slot.raised_to.store(raised.to);
  slot.own_memsw.store(raised.memsw);
  slot.own_limit.store(raised.open ? machine.base_limit() : 0);
  slot.hold.frozen.store(raised.frozen);
  if (uint32_t id = machine.id(); slot.claim.load() >> 2 != id) {
    // What the guardian has done since the last episode, and before it has heard of this one, is
    // this one's fallback while it takes effect.
    int64_t acted_at = slot.claimed_at.load();
    bool theirs = machine.active() && acted_at > machine.end().at &&
                  machine.started_at() - acted_at < KillSeen::kTakesEffect;
    slot.claim.store(SharedSlot::word(id, theirs ? Claimant::kGuardian : Claimant::kNobody));
  }
  // A guard that is being disposed has seen no end: until the killer is back, the guardian keeps to
  // the deadline that it knows.
  if (machine.phase() == EpisodeMachine::Phase::kOver) return;
  bool kernel = machine.phase() == EpisodeMachine::Phase::kKernel || machine.standing();
  slot.state.store(kernel                          ? SlotState::kKernel
                   : machine.active()              ? SlotState::kEpisode
                   : machine.grip() == Grip::kFree ? SlotState::kReleased
                                                   : SlotState::kArmed);
}

// A guard that is disposed has given the killer back: from here on the guardian holds nothing.
inline void publish_released(SharedSlot& slot) { slot.state.store(SlotState::kReleased); }

// Call before raising the limit: if this process ends in between, the guardian restores it.
inline void announce_headroom(SharedSlot& slot, const EpisodeMachine& machine,
                              const RaisedLimit& raised) {
  slot.raised_to.store(raised.to);
  slot.own_memsw.store(raised.memsw);
  slot.own_limit.store(machine.base_limit());
}

inline bool claimed_by_guardian(const SharedSlot& slot, const EpisodeMachine& machine) {
  bool deciding = machine.phase() == EpisodeMachine::Phase::kDelaying ||
                  machine.phase() == EpisodeMachine::Phase::kFallingBack;
  return deciding && slot.claim.load() == SharedSlot::word(machine.id(), Claimant::kGuardian);
}

// Whether the guardian is to be told of an attempt to let the kernel in before it is made. Once in an
// episode, since attempts that fail must not put it off; and where this process was stopped since the
// last one for so long that the guardian may be about to act itself.
class ReleaseNotice {
 public:
  bool due(uint32_t episode, int64_t now) {
    const bool is = episode != episode_ || now - tried_at_ >= Turn::kFollow;
    episode_ = episode;
    tried_at_ = now;
    return is;
  }

 private:
  uint32_t episode_ = 0;
  int64_t tried_at_ = 0;
};

// OOMs that the guardian has ended while this process did not run, so that the machine has had no
// episode: each is to be reported once.
class UnseenActs {
 public:
  // Longer than an act of the guardian's that runs takes: past it, that guardian has ended.
  static constexpr int64_t kActMost = KernelTurn::kWindowMost + 100 * kMs;

  // Call before each step of the machine with a fresh sample, which `given` has. True: `out` has to
  // be passed on first.
  bool take(const SharedSlot& slot, const EpisodeMachine& machine, int64_t now, Input& given,
            Input& out) {
    SharedSlot::Acts acts = slot.seen_acts();
    until_ = kNever;
    if (acts.count == reported_) return false;
    // What the guardian does in an episode is that episode's.
    bool unseen = !machine.active();
    given.unseen_waits = unseen;
    int64_t acted_at = slot.claimed_at.load();
    if (unseen && !acts.over) {
      // It may still act; if the group is out of memory, it does so in the episode that begins now.
      until_ = std::max(acted_at + kActMost, now + kAgain);
      bool open = given.unreadable || given.sample.starved();
      if (open || now < acted_at + kActMost) return false;
    }
    reported_ = acts.count;
    until_ = kNever;
    if (!unseen) return false;
    out = given;
    out.fact = Fact::kUnseen;
    out.ns = acted_at;
    given.unseen_waits = false;
    return true;
  }
  // When to ask again; kNever: with the next step.
  int64_t next() const { return until_; }

 private:
  static constexpr int64_t kAgain = 10 * kMs;

  uint16_t reported_ = 0;
  int64_t until_ = kNever;
};

// Reports to the machine that the guardian has carried out the fallback.
template <class Answer>
void guardian_has_acted(int64_t claimed_at, uint32_t episode, Answer&& answer) {
  Input input;
  input.fact = Fact::kFallbackDone;
  input.episode = episode;
  input.killed = 1;
  answer(input);
  input.fact = Fact::kGuardianActed;
  input.ns = claimed_at;
  answer(input);
}

// Returns whether the sentinel has this episode's fallback; if not, `answer` reports the guardian's
// act to the machine. What the guardian has done takes effect before the kernel is let in.
template <class Answer>
bool claim(SharedSlot& slot, const EpisodeMachine& machine, int64_t now, Answer&& answer) {
  uint32_t id = machine.id();
  if (!machine.active() || slot.claim_for(id, Claimant::kSentinel, now)) return true;
  int64_t claimed_at = slot.claimed_at.load();
  if (machine.phase() == EpisodeMachine::Phase::kFallingBack) {
    guardian_has_acted(claimed_at, id, answer);
    return false;
  }
  if (now - claimed_at >= KillSeen::kTakesEffect) {
    return slot.take_from(Claimant::kGuardian, id, now);
  }
  Input input;
  input.fact = Fact::kGuardianActed;
  input.ns = claimed_at;
  answer(input);
  return false;
}

}  // namespace oom
