// The guardian's rules of one group that a random schedule hardly ever meets: its process and group
// simulated, the sentinel's side of the slot written by hand.
#include "guardian/guardian_group.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "guardian_process.h"

using namespace oom;        // NOLINT(google-build-using-namespace)
using namespace oom::test;  // NOLINT(google-build-using-namespace)

namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr int64_t kDelay = 50 * kMs;
constexpr int64_t kGrace = 20 * kMs;

// One group with one process; the guardian's samples fail while `error` is set.
struct Rig final : GuardianHooks {
  explicit Rig(Fallback fallback = Fallback::kKernel) {
    SimGroup::Config config;
    config.limit = 40 * kMiB;
    group = SimGroup(config);
    group.advance_to(kMs);
    pid = group.spawn(20 * kMiB);
    group.set_killer_disabled(true);
    slot = shared->take(kInode);
    loop = Sentinel::make_inline(status);
    EpisodeConfig guard;
    guard.delay_ns = guard.max_delay_ns = kDelay;
    guard.fallback = fallback;
    guardian = std::make_unique<GuardianProcess>(group, *shared, *loop, *this, guard, kGrace);
  }

  void guardian_passes() override {}
  int32_t guardian_fails(GuardianCall call) override {
    return call == GuardianCall::kRead ? error : call == GuardianCall::kSwitch ? switch_error : 0;
  }
  int64_t guardian_late() override { return 0; }
  bool guardian_loses() override { return false; }
  void guardian_doubts(Sample& sample) override {
    if (doubt != 0 && sample.starved()) sample.need = doubt == 'o' ? Need::kUnclear : Need::kNear;
  }
  void guardian_switched(bool disabled) override {
    release |= !disabled;
    if (!disabled) claimed_at_release = slot->claimed_at.load();
  }
  void guardian_killed(uint32_t count) override { killed += count; }
  void guardian_left() override {}

  void starve() { group.allocate(pid, 30 * kMiB); }
  // Both in the order of time; a guardian that is stopped lets everything pass.
  void run_for(int64_t ns, bool stopped = false) {
    int64_t until = group.now() + ns;
    for (;;) {
      guardian->notice();
      if (!stopped && guardian->next_event() <= group.now()) {
        guardian->run();
        continue;
      }
      if (group.now() >= until) return;
      int64_t next = std::min(until, group.next_event());
      if (!stopped) next = std::min(next, guardian->next_event());
      group.advance_to(std::max(group.now(), next));
    }
  }
  // Checks that the guardian releases after `ns`: not before, and at most 10 ms later.
  void lets_go_after(int64_t ns) {
    run_for(ns - kMs);
    CHECK_FALSE(release);
    run_for(11 * kMs);
    CHECK(release);
  }
  // As the sentinel publishes it.
  void publish(uint32_t episode, SlotState state) {
    slot->started_at.store(group.now());
    slot->deadline.store(group.now() + kDelay);
    slot->claim.store(SharedSlot::word(episode, Claimant::kNobody));
    slot->state.store(state);
  }

  void claim(uint32_t episode, Claimant who) {
    slot->claimed_at.store(group.now());
    slot->claim.store(SharedSlot::word(episode, who));
  }

  Status status;
  SimGroup group;
  int32_t pid = 0, error = 0, switch_error = 0;
  bool release = false;
  char doubt = 0;  // 'o': it is open whether it is out of memory; 'n': it is near
  uint32_t killed = 0;
  int64_t claimed_at_release = 0;  // what the slot had when the kernel was about to be let in
  std::unique_ptr<SharedState> shared = std::make_unique<SharedState>();
  SharedSlot* slot = nullptr;
  LockedPtr<Sentinel> loop;
  std::unique_ptr<GuardianProcess> guardian;
};

}  // namespace

TEST_CASE("if the sentinel publishes nothing, the guardian counts delay and grace itself") {
  Rig rig;
  rig.starve();
  rig.lets_go_after(kDelay + kGrace);
}

TEST_CASE("what cannot be read is as it was") {
  Rig rig;
  rig.starve();
  rig.run_for(5 * kMs);
  rig.error = -EIO;
  rig.run_for(kDelay + kGrace);
  CHECK(rig.release);
}

TEST_CASE("after unclear samples past the deadline the sentinel may act first, if it can") {
  Rig rig;
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.run_for(5 * kMs);
  rig.doubt = 'o';
  rig.run_for(4 * kDelay);
  CHECK_FALSE(rig.release);
  rig.doubt = 0;
  SUBCASE("which is gone") {
    rig.guardian->tell(GuardianProcess::Word::kParentGone);
    rig.run_for(2 * kMs);
    CHECK(rig.release);
  }
  SUBCASE("which does nothing") { rig.lets_go_after(kGrace - 10 * kMs); }
}

TEST_CASE("if an OOM begins again and nothing was freed, it has the rest of the delay") {
  Rig rig;
  rig.starve();
  rig.run_for(20 * kMs);
  rig.doubt = 'n';
  rig.run_for(60 * kMs);
  rig.doubt = 0;
  rig.guardian->wake();
  rig.lets_go_after(kDelay + kGrace - 32 * kMs);
}

TEST_CASE("an end that the sentinel has seen is believed where nothing can be read") {
  Rig rig;
  rig.starve();
  SUBCASE("of the episode that was followed") {
    rig.publish(1, SlotState::kEpisode);
    rig.run_for(15 * kMs);
  }
  SUBCASE("of one that has begun and ended while the guardian was stopped") {
    rig.run_for(15 * kMs);
    rig.publish(1, SlotState::kEpisode);
  }
  rig.error = -EIO;
  rig.run_for(2 * kDelay, true);
  rig.slot->state.store(SlotState::kArmed);
  rig.run_for(2 * kDelay);
  CHECK_FALSE(rig.release);
}

TEST_CASE("what it has ended itself is not over because nothing can be read") {
  Rig rig(Fallback::kKillGroup);
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.run_for(kDelay);
  rig.group.freeze();  // who is killed stays
  rig.run_for(kGrace + 2 * kMs);
  CHECK(rig.killed == 1);
  rig.error = -EIO;
  rig.run_for(105 * kMs);
  CHECK(rig.release);
}

TEST_CASE("where the sentinel has seen the end and holds again, the next OOM has the whole delay") {
  Rig rig;
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.run_for(kDelay + kGrace + 2 * kMs);
  CHECK(rig.release);
  rig.group.set_limit(60 * kMiB);
  rig.run_for(kMs);
  rig.release = false;
  SUBCASE("held") {
    rig.slot->state.store(SlotState::kArmed);
    rig.group.set_killer_disabled(true);
    rig.starve();
    rig.lets_go_after(kDelay + kGrace);
  }
  SUBCASE("not held: the kernel has its time") {
    rig.slot->state.store(SlotState::kArmed);
    rig.starve();
    rig.run_for(4 * kMs);
    CHECK_FALSE(rig.group.killer_disabled());
  }
  SUBCASE("not seen: a group that is held is released again") {
    rig.group.set_killer_disabled(true);
    rig.starve();
    rig.run_for(6 * kMs);
    CHECK(rig.release);
  }
}

TEST_CASE("an episode that was over before it began is no end of it") {
  Rig rig;
  rig.publish(1, SlotState::kArmed);
  rig.starve();
  rig.run_for(5 * kMs);
  rig.error = -EIO;
  rig.run_for(kDelay + kGrace);
  CHECK(rig.release);
}

TEST_CASE("an episode that is first seen while the kernel has its killer is followed") {
  Rig rig;
  rig.starve();
  rig.run_for(5 * kMs);
  rig.publish(1, SlotState::kKernel);
  rig.lets_go_after(kDelay + kGrace);
}

TEST_CASE("a group whose samples failed for a second is sampled") {
  Rig rig;
  rig.error = -EIO;
  rig.starve();
  rig.run_for(1000 * kMs);
  CHECK_FALSE(rig.release);
  rig.error = 0;
  rig.run_for(kDelay + kGrace + 10 * kMs);
  CHECK(rig.release);
}

TEST_CASE("what the sentinel has done before an end takes effect first") {
  Rig rig;
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.run_for(10 * kMs);
  rig.claim(1, Claimant::kSentinel);
  rig.slot->state.store(SlotState::kArmed);
  rig.lets_go_after(100 * kMs + kGrace);
}

TEST_CASE("what it has done long ago puts nothing off") {
  Rig rig;
  rig.publish(1, SlotState::kArmed);
  rig.claim(1, Claimant::kSentinel);
  rig.run_for(100 * kMs);
  rig.starve();
  rig.lets_go_after(kDelay + kGrace);
}

TEST_CASE("headroom in use neither ends an OOM nor begins another") {
  Rig rig;
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.run_for(10 * kMs);
  rig.slot->raised_to.store(60 * kMiB);
  rig.slot->own_limit.store(rig.group.limit());
  rig.group.set_limit(60 * kMiB);
  rig.lets_go_after(kDelay + kGrace - 10 * kMs);
}

TEST_CASE("an OOM that a sentinel has slept through counts from where it began") {
  Rig rig;
  rig.starve();
  rig.run_for(kGrace + 10 * kMs);
  rig.publish(1, SlotState::kEpisode);
  rig.lets_go_after(kDelay - 10 * kMs);
}

TEST_CASE("a claim of a sentinel that was late by less than the grace is waited for no later") {
  Rig rig;
  rig.starve();
  rig.run_for(kGrace - kMs);
  rig.publish(1, SlotState::kEpisode);
  rig.run_for(kDelay);
  rig.claim(1, Claimant::kSentinel);
  rig.lets_go_after(110 * kMs);
}

TEST_CASE("without a parent there is no grace") {
  Rig rig;
  rig.starve();
  rig.run_for(10 * kMs);
  rig.guardian->tell(GuardianProcess::Word::kParentGone);
  rig.lets_go_after(kDelay - 10 * kMs);
}

TEST_CASE("what a stopped sentinel has claimed is waited for once") {
  Rig rig;
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.run_for(10 * kMs);
  rig.claim(1, Claimant::kSentinel);
  // An end and a new OOM, both seen at once.
  rig.group.set_limit(80 * kMiB);
  rig.run_for(kMs, true);
  rig.group.allocate(rig.pid, 40 * kMiB);
  rig.lets_go_after(110 * kMs - kMs);
}

TEST_CASE("an OOM right after an end that the sentinel has slept through has a delay of its own") {
  Rig rig;
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.run_for(10 * kMs);
  rig.group.set_limit(80 * kMiB);
  while (rig.guardian->machine().active()) rig.run_for(kMs / 4);
  rig.group.allocate(rig.pid, 40 * kMiB);
  rig.lets_go_after(kDelay + kGrace);
}

TEST_CASE("what the sentinel has claimed is its own, for a while") {
  Rig rig;
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.run_for(kDelay);
  rig.claim(1, Claimant::kSentinel);
  rig.lets_go_after(110 * kMs);
  CHECK(rig.slot->claim.load() == SharedSlot::word(1, Claimant::kGuardian));
}

TEST_CASE("if the sentinel claims while the guardian's release fails, the guardian waits for it") {
  Rig rig;
  rig.starve();
  rig.switch_error = -EIO;
  rig.run_for(kDelay + kGrace + 5 * kMs);
  rig.publish(1, SlotState::kEpisode);
  rig.claim(1, Claimant::kSentinel);
  rig.switch_error = 0;
  rig.run_for(95 * kMs);
  CHECK_FALSE(rig.release);
  rig.run_for(20 * kMs);
  CHECK(rig.release);
}

TEST_CASE("what the sentinel claims while the guardian's kill takes effect has its time once") {
  Rig rig(Fallback::kKillGroup);
  rig.starve();
  rig.run_for(kDelay);
  rig.group.freeze();  // who is killed stays
  rig.run_for(kGrace + 2 * kMs);
  REQUIRE(rig.killed == 1);
  rig.run_for(50 * kMs);
  rig.publish(1, SlotState::kEpisode);
  rig.claim(1, Claimant::kSentinel);
  rig.lets_go_after(110 * kMs);
}

TEST_CASE("a claim in the slot reports each act of the guardian to the sentinel") {
  Rig rig(Fallback::kKillGroup);
  rig.starve();
  SUBCASE("the slot has no episode") {}
  SUBCASE("the guardian has claimed this episode already") {
    rig.publish(1, SlotState::kEpisode);
    rig.run_for(kDelay + kGrace + 20 * kMs);
    REQUIRE(rig.killed == 1);
    REQUIRE(rig.slot->claim.load() == SharedSlot::word(1, Claimant::kGuardian));
    rig.pid = rig.group.spawn(20 * kMiB);
    rig.starve();
    rig.killed = 0;
  }
  int64_t from = rig.group.now();
  rig.run_for(2 * (kDelay + kGrace));
  CHECK(rig.killed == 1);
  CHECK(rig.slot->claimed_at.load() >= from + kDelay);
}

TEST_CASE("the slot tells of a release before it is made, for a guardian that ends in between") {
  Rig rig(Fallback::kKillGroup);
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.run_for(kDelay);
  rig.group.freeze();  // who is killed stays
  rig.run_for(kGrace + 2 * kMs);
  REQUIRE(rig.killed == 1);
  int64_t killed_at = rig.slot->claimed_at.load();
  rig.run_for(110 * kMs);
  REQUIRE(rig.release);
  CHECK(rig.claimed_at_release >= killed_at + 100 * kMs);
}

TEST_CASE("each OOM that the guardian acts in is counted, and its end is told") {
  Rig rig;
  auto counted = [&](uint16_t count, bool over) {
    SharedSlot::Acts acts = rig.slot->seen_acts();
    CHECK(acts.count == count);
    CHECK(acts.over == over);
  };
  for (uint16_t i = 0; i < 2; i++) {
    rig.starve();
    rig.run_for(kDelay + kGrace - kMs);
    counted(i, i > 0);
    // While it fails it is the same act.
    rig.switch_error = -EIO;
    rig.run_for(12 * kMs);
    counted(i + 1, false);
    rig.switch_error = 0;
    rig.run_for(400 * kMs);
    REQUIRE(rig.guardian->machine().phase() == EpisodeMachine::Phase::kIdle);
    counted(i + 1, true);
    rig.pid = rig.group.spawn(20 * kMiB);
  }
  // One that ends by itself is not.
  rig.starve();
  rig.run_for(5 * kMs);
  rig.group.exit(rig.pid);
  rig.run_for(200 * kMs);
  counted(2, true);
}

TEST_CASE("a guardian whose release fails does not claim the act again and again") {
  Rig rig;
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.switch_error = -EIO;
  rig.run_for(kDelay + kGrace + 2 * kMs);
  int64_t claimed_at = rig.slot->claimed_at.load();
  CHECK(rig.slot->claim.load() == SharedSlot::word(1, Claimant::kGuardian));
  rig.run_for(90 * kMs);
  CHECK(rig.slot->claimed_at.load() == claimed_at);
  // Only when it has acted.
  int64_t from = rig.group.now();
  rig.switch_error = 0;
  rig.run_for(6 * kMs);
  CHECK(rig.release);
  CHECK(rig.slot->claimed_at.load() >= from);
}

TEST_CASE("a group that a disposed guard has released is not held again") {
  Rig rig;
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.run_for(kDelay + kGrace + 2 * kMs);
  REQUIRE(rig.release);
  rig.slot->state.store(SlotState::kReleased);
  rig.run_for(300 * kMs);
  CHECK_FALSE(rig.guardian->machine().active());
  CHECK_FALSE(rig.group.killer_disabled());
}

TEST_CASE("a guardian that leaves releases the group and thaws it") {
  Rig rig;
  rig.group.freeze();
  rig.slot->hold.frozen.store(1);
  rig.guardian->tell(GuardianProcess::Word::kTerminate);
  rig.run_for(kMs);
  CHECK_FALSE(rig.group.killer_disabled());
  CHECK_FALSE(rig.group.frozen());
}

TEST_CASE("an episode that the guardian has ended does not move the next one's deadline") {
  Rig rig;
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.lets_go_after(kDelay + kGrace);
  rig.run_for(200 * kMs);
  REQUIRE(rig.group.killer_disabled());
  rig.release = false;
  rig.pid = rig.group.spawn(20 * kMiB);
  rig.starve();
  rig.run_for(40 * kMs);
  rig.slot->state.store(SlotState::kArmed);
  rig.lets_go_after(kDelay + kGrace - 40 * kMs);
}

TEST_CASE("a kill that it sees late does not put the next episode's deadline off") {
  Rig rig;
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.run_for(10 * kMs);
  // Stopped meanwhile.
  rig.group.set_killer_disabled(false);
  rig.run_for(20 * kMs, true);
  REQUIRE(rig.group.kernel_kills() == 1);
  rig.group.set_killer_disabled(true);
  rig.slot->set_relieved(rig.group.now());
  rig.pid = rig.group.spawn(20 * kMiB);
  rig.starve();
  rig.publish(2, SlotState::kEpisode);
  rig.run_for(10 * kMs, true);
  rig.lets_go_after(kDelay + kGrace - 10 * kMs);
}

TEST_CASE("a killing fallback kills, and thaws first") {
  Rig rig(Fallback::kKillLargest);
  rig.starve();
  rig.run_for(kDelay);
  rig.group.freeze();
  rig.slot->hold.frozen.store(1);
  rig.run_for(kGrace + kMs);
  CHECK(rig.killed == 1);
  CHECK_FALSE(rig.group.frozen());
  CHECK_FALSE(rig.release);
}

TEST_CASE("a disposed group that another process has held again is released") {
  Rig rig;
  rig.guardian->tell(GuardianProcess::Word::kRemove);
  rig.run_for(kMs);
  CHECK_FALSE(rig.group.killer_disabled());
}

TEST_CASE("if no process is left, the sentinel may end the OOM in its time, then the guardian") {
  Rig rig;
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.run_for(10 * kMs);
  // It goes on waiting in the group's queue, until it is woken.
  rig.group.take_out(rig.pid);
  REQUIRE(rig.group.under_oom());
  SUBCASE("its parent is dead: at once") {
    rig.guardian->tell(GuardianProcess::Word::kParentGone);
    rig.run_for(100 * kMs);
    CHECK(rig.release);
    CHECK(rig.guardian->gone());
    CHECK_FALSE(rig.group.killer_disabled());
  }
  SUBCASE("its parent is stopped: delay and grace hold") {
    rig.lets_go_after(kDelay + kGrace - 10 * kMs);
    rig.run_for(20 * kMs);
    CHECK_FALSE(rig.group.under_oom());
    CHECK_FALSE(rig.guardian->machine().active());
    CHECK(rig.group.killer_disabled());
  }
}
