// The state that the sentinel publishes for the guardian, in memory that both have mapped and
// locked: for each held group, whether an episode is running, until when, and which process carries
// out its fallback.
//
// Each field has one writer except `claim`, which is taken by compare-and-swap: the process that
// claims an episode carries out its fallback, and the other one does not. Lock-free, so that a
// process that is stopped anywhere blocks no other. If a group has no slot yet, the guardian uses
// the delay that the guard was made with.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/members/stop_table.h"
#include "core/memcg/hold_note.h"
#include "core/rules/timer.h"
#include "core/rules/turn.h"

namespace oom {

struct alignas(16) SharedSlot {
  std::atomic<uint64_t> inode{0};  // 0: never used; stays when freed, so that probing goes on
  std::atomic<SlotState> state{SlotState::kFree};
  // Written by act_begins() and act_is_over().
  std::atomic<uint16_t> acts{0};
  std::atomic<uint32_t> claim{0};     // episode << 2 | Claimant
  std::atomic<int32_t> delay_ms{-1};  // of the guard now; -1: it has not been published
  std::atomic<int32_t> relieved{0};   // written by set_relieved()
  // When it was last claimed, or carried out, by either; or a little before.
  std::atomic<int64_t> claimed_at{0};
  std::atomic<int64_t> deadline{0};
  std::atomic<int64_t> started_at{0};
  std::atomic<uint64_t> own_limit{0};  // before headroom was raised; 0: it is not raised
  std::atomic<uint64_t> own_memsw{0};
  std::atomic<uint64_t> raised_to{0};  // what the limit was raised to, at most
  HoldNote hold;

  // Reads in the reverse order of publishing (slot_writer.h): if a claim succeeds, it is for the
  // episode whose deadline was read.
  SlotView view() const {
    uint32_t word = claim.load();
    SlotView out;
    out.there = true;
    out.episode = word >> 2;
    out.claimant = static_cast<Claimant>(word & 3);
    out.claimed_at = claimed_at.load();
    out.state = state.load();
    out.deadline = deadline.load();
    out.started_at = started_at.load();
    int32_t units = relieved.load();
    out.relieved_at = units == INT32_MAX ? kNever : out.started_at + units * kReliefUnit;
    return out;
  }
  // How many OOMs guardians have acted in, and whether the end of the last one has been seen: for a
  // sentinel that does not run meanwhile. By the guardian, after it has stored claimed_at.
  struct Acts {
    uint16_t count = 0;
    bool over = false;
  };
  Acts seen_acts() const {
    uint16_t word = acts.load();
    return {static_cast<uint16_t>(word >> 1), (word & 1) != 0};
  }
  void act_begins() { acts.store(static_cast<uint16_t>((acts.load() | 1) + 1)); }
  void act_is_over() { acts.store(acts.load() | 1); }

  // Stores EpisodeEnd::relieved_at of the last episode that has ended, as its distance from
  // started_at, which is stored before: up to 2.4 hours, rounded up to 4 µs. kNever stands for more.
  void set_relieved(int64_t at) {
    int64_t units = -((started_at.load() - at) >> kReliefShift);
    relieved.store(static_cast<int32_t>(std::clamp<int64_t>(units, INT32_MIN, INT32_MAX)));
  }
  static constexpr int kReliefShift = 12;
  static constexpr int64_t kReliefUnit = 1 << kReliefShift;

  static constexpr uint32_t word(uint32_t episode, Claimant who) {
    return episode << 2 | static_cast<uint32_t>(who);
  }
  // Whether the fallback of this episode is the caller's.
  bool claim_for(uint32_t episode, Claimant who, int64_t now) {
    uint32_t expected = word(episode, Claimant::kNobody);
    // Store the time before the claim: a reader that sees the claim also sees its time.
    if (claim.load() == expected) claimed_at.store(now);
    return claim.compare_exchange_strong(expected, word(episode, who)) ||
           expected == word(episode, who);
  }
  // As claim_for(), by who now carries it out: what takes effect counts from here.
  bool act_for(uint32_t episode, Claimant who, int64_t now) {
    bool ours = claim_for(episode, who, now);
    if (ours) claimed_at.store(now);
    return ours;
  }
  // Takes a claim over from `who`, which has not acted on it in time. If that process gets to it
  // later, it finds the other one's claim and does not act.
  bool take_from(Claimant who, uint32_t episode, int64_t now) {
    uint32_t expected = word(episode, who);
    if (claim.load() != expected) return false;
    claimed_at.store(now);
    Claimant taker = who == Claimant::kSentinel ? Claimant::kGuardian : Claimant::kSentinel;
    return claim.compare_exchange_strong(expected, word(episode, taker));
  }
};
static_assert(sizeof(SharedSlot) == 112);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// Slots come in segments, one after the other as they are needed: what is mapped but not in use
// costs neither memory nor locked memory. Where a group lies in its segment is found by its inode,
// no further from its place than `reach`. In the order in which its parts are locked.
// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding)
struct SharedState {
  static constexpr uint32_t kMagic = 0x6f6f6d35;  // "oom5"
  static constexpr size_t kSlots = 8192;          // of a segment
  static constexpr size_t kSegments = 7;
  // How many processes may stand still at a time.
  static constexpr uint32_t kStops = 8192;
  // Of a segment: beyond that the way to a slot gets long.
  static constexpr size_t kMost = kSlots / 4 * 3;

  struct Segment {
    alignas(64) SharedSlot slots[kSlots];
    std::atomic<uint32_t> reach{0};
    uint32_t used = 0;  // the parent's
  };

  uint32_t magic = kMagic;
  std::atomic<uint32_t> segment_count{1};
  Segment segments[kSegments];
  // Locked when a guard first holds by signals.
  StopEntries<kStops> stops;

  // What has to be mapped and locked for so many segments.
  static constexpr size_t bytes(size_t count) {
    return offsetof(SharedState, segments) + count * sizeof(Segment);
  }

  // Parent only, one thread at a time: a slot for the group; null when all are taken. `more` makes
  // the next segment usable: 0 or -errno.
  template <class More>
  SharedSlot* take(uint64_t inode, More&& more) {
    for (size_t i = 0; i < kSegments; i++) {
      if (i == segment_count.load()) {
        if (more(i) != 0) return nullptr;
        segment_count.store(static_cast<uint32_t>(i + 1), std::memory_order_release);
      }
      if (segments[i].used < kMost) return take_in(segments[i], inode);
    }
    return nullptr;
  }
  SharedSlot* take(uint64_t inode) {
    return take(inode, [](size_t) { return 0; });
  }
  // Parent only, as take().
  void free_slot(SharedSlot& slot) {
    for (size_t i = 0; i < segment_count.load(); i++) {
      Segment& segment = segments[i];
      bool here = &slot >= segment.slots && &slot < segment.slots + kSlots;
      if (here && segment.used > 0) segment.used--;
    }
    slot.state.store(SlotState::kFree);
  }
  // Guardian: the group's slot, or null.
  SharedSlot* find(uint64_t inode) {
    uint32_t count = segment_count.load(std::memory_order_acquire);
    for (uint32_t i = 0; i < count && i < kSegments; i++) {
      Segment& segment = segments[i];
      uint32_t reach = segment.reach.load(std::memory_order_acquire);
      for (uint32_t step = 0; step <= reach; step++) {
        SharedSlot& slot = segment.slots[(hash(inode) + step) % kSlots];
        uint64_t there = slot.inode.load(std::memory_order_relaxed);
        if (there == 0) break;
        if (there == inode && slot.state.load(std::memory_order_acquire) != SlotState::kFree) {
          return &slot;
        }
      }
    }
    return nullptr;
  }

 private:
  static SharedSlot* take_in(Segment& segment, uint64_t inode) {
    uint32_t step = 0;
    auto at = [&]() -> SharedSlot& { return segment.slots[(hash(inode) + step) % kSlots]; };
    while (at().state.load(std::memory_order_relaxed) != SlotState::kFree) step++;
    SharedSlot& slot = at();
    slot.claim.store(0, std::memory_order_relaxed);
    slot.claimed_at.store(0, std::memory_order_relaxed);
    slot.acts.store(0, std::memory_order_relaxed);
    slot.delay_ms.store(-1, std::memory_order_relaxed);
    slot.own_limit.store(0, std::memory_order_relaxed);
    slot.hold.own_high.store(0, std::memory_order_relaxed);
    slot.hold.own_max.store(0, std::memory_order_relaxed);
    slot.hold.asks_until.store(0, std::memory_order_relaxed);
    slot.hold.chosen_at.store(0, std::memory_order_relaxed);
    slot.hold.frozen.store(0, std::memory_order_relaxed);
    slot.inode.store(inode, std::memory_order_relaxed);
    if (step > segment.reach.load()) segment.reach.store(step, std::memory_order_release);
    slot.state.store(SlotState::kArmed, std::memory_order_release);
    segment.used++;
    return &slot;
  }
  static size_t hash(uint64_t inode) {
    return static_cast<size_t>(inode * 0x9e3779b97f4a7c15u >> 40);
  }
};
// The guardian locks its future mappings, so all of this counts against RLIMIT_MEMLOCK, 8 MiB by
// default, where it is not privileged. Its own image needs the rest.
static_assert(sizeof(SharedState) <= size_t{13} << 19);

}  // namespace oom
