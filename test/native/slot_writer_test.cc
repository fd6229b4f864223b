// The sentinel's half of the slot that it shares with the guardian: which process an episode's
// fallback belongs to, by what either has claimed or done, and when.
#include "core/guardian_link/slot_writer.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace oom;

namespace {

constexpr int64_t kBegin = 1000 * kMs;
constexpr int64_t kDelay = 50 * kMs;

// One group's machine and its slot.
struct Rig {
  explicit Rig(Fallback fallback = Fallback::kKernel) {
    EpisodeConfig config;
    config.delay_ns = config.max_delay_ns = kDelay;
    config.fallback = fallback;
    machine = EpisodeMachine(config);
    sample.limit = sample.usage = uint64_t{64} << 20;
    publish(slot, machine, {});
  }
  void tell(Input input, Need need = Need::kStarved) {
    input.sample = sample;
    input.sample.need = need;
    Actions actions;
    machine.step(now, input, actions);
    publish(slot, machine, {});
  }
  void look(Need need = Need::kStarved) { tell({}, need); }
  bool claims() {
    told = {};
    return claim(slot, machine, now, [this](const Input& input) { told = input; });
  }
  void guardian_acts() {
    slot.claimed_at.store(now);
    slot.claim.store(SharedSlot::word(machine.id(), Claimant::kGuardian));
  }
  uint32_t word(Claimant who) const { return SharedSlot::word(machine.id(), who); }

  SharedSlot slot;
  EpisodeMachine machine;
  Sample sample;
  int64_t now = kBegin;
  Input told;
};

}  // namespace

TEST_CASE("no process has an episode's fallback until it is claimed") {
  Rig rig;
  rig.look();
  CHECK(rig.slot.claim.load() == rig.word(Claimant::kNobody));
  rig.now += kDelay;
  rig.look();
  CHECK(rig.claims());
  CHECK(rig.slot.claim.load() == rig.word(Claimant::kSentinel));
  CHECK(rig.slot.claimed_at.load() == rig.now);
  CHECK_FALSE(rig.slot.claim_for(rig.machine.id(), Claimant::kGuardian, rig.now));
}

TEST_CASE("what the guardian has done takes effect before the kernel is let in") {
  Rig rig;
  rig.look();
  rig.now += kDelay;
  rig.look();
  REQUIRE(rig.machine.phase() == EpisodeMachine::Phase::kKernel);
  rig.guardian_acts();
  int64_t acted_at = rig.now;
  rig.now += 99 * kMs;
  CHECK_FALSE(rig.claims());
  CHECK(rig.told.fact == Fact::kGuardianActed);
  CHECK(rig.told.ns == acted_at);
  // Also where it could not be let in before.
  rig.tell(rig.told);
  CHECK_FALSE(rig.claims());
  rig.now += kMs;
  CHECK(rig.claims());
  CHECK(rig.slot.claim.load() == rig.word(Claimant::kSentinel));
  CHECK(rig.slot.claimed_at.load() == rig.now);
}

TEST_CASE("a claim is taken from the process that has it, and from no other") {
  SharedSlot slot;
  slot.claim.store(SharedSlot::word(1, Claimant::kNobody));
  REQUIRE(slot.claim_for(1, Claimant::kSentinel, 10));
  CHECK_FALSE(slot.take_from(Claimant::kGuardian, 1, 20));
  CHECK(slot.claimed_at.load() == 10);
  CHECK(slot.take_from(Claimant::kSentinel, 1, 20));
  CHECK(slot.claim.load() == SharedSlot::word(1, Claimant::kGuardian));
  CHECK(slot.claimed_at.load() == 20);
}

TEST_CASE("what is carried out counts from there") {
  SharedSlot slot;
  slot.claim.store(SharedSlot::word(1, Claimant::kNobody));
  REQUIRE(slot.claim_for(1, Claimant::kSentinel, 10));
  CHECK(slot.claim_for(1, Claimant::kSentinel, 20));
  CHECK(slot.claimed_at.load() == 10);
  CHECK(slot.act_for(1, Claimant::kSentinel, 30));
  CHECK(slot.claimed_at.load() == 30);
  CHECK_FALSE(slot.act_for(1, Claimant::kGuardian, 40));
  CHECK(slot.claimed_at.load() == 30);
}

TEST_CASE("what the guardian did before the slot had an episode is that episode's fallback") {
  Rig rig;
  rig.look();
  rig.look(Need::kFine);
  rig.now += 2 * kMs;
  rig.look(Need::kFine);
  REQUIRE_FALSE(rig.machine.active());
  rig.now += kMs;
  rig.slot.claimed_at.store(rig.now);
  SUBCASE("just now") {
    rig.now += 99 * kMs;
    rig.look();
    CHECK(claimed_by_guardian(rig.slot, rig.machine));
  }
  SUBCASE("long ago") {
    rig.now += 100 * kMs;
    rig.look();
    CHECK(rig.slot.claim.load() == rig.word(Claimant::kNobody));
  }
}

TEST_CASE("what the guardian has done in the last episode is not the next one's") {
  Rig rig;
  rig.look();
  rig.now += kDelay;
  rig.guardian_acts();
  rig.look(Need::kFine);
  rig.now += 2 * kMs;
  rig.look(Need::kFine);
  REQUIRE_FALSE(rig.machine.active());
  rig.now += kMs;
  rig.look();
  CHECK(rig.slot.claim.load() == rig.word(Claimant::kNobody));
}

TEST_CASE("when the last OOM was over is published from its end on") {
  Rig rig;
  rig.look();
  int64_t seen_at = rig.now;
  rig.now += 10 * kMs + 1;
  SUBCASE("at once") {}
  SUBCASE("with the next episode") { rig.now += 500 * kMs; }
  SUBCASE("so late that the distance does not fit") { rig.now += 10'000'000 * kMs; }
  rig.sample.limit = rig.sample.usage *= 2;
  rig.look();
  REQUIRE_FALSE(rig.machine.active());
  CHECK(rig.slot.view().relieved_at == seen_at);
  rig.now += kMs;
  rig.look();
  REQUIRE(rig.machine.active());
  SlotView view = rig.slot.view();
  CHECK(view.started_at == rig.now);
  // Rounded up, never down.
  int64_t most = rig.now - (int64_t{1} << 31) * SharedSlot::kReliefUnit;
  CHECK(view.relieved_at >= std::max(seen_at, most));
  CHECK(view.relieved_at < std::max(seen_at, most) + SharedSlot::kReliefUnit);
}

TEST_CASE("an OOM that lasts longer than its distance fits has been over just now") {
  Rig rig;
  rig.look();
  Input delay;
  delay.fact = Fact::kSetDelay;
  delay.ns = 100'000'000 * kMs;
  rig.tell(delay);
  rig.now += 10'000'000 * kMs;
  rig.look(Need::kFine);
  rig.now += 2 * kMs;
  rig.look(Need::kFine);
  REQUIRE_FALSE(rig.machine.active());
  CHECK(rig.slot.view().relieved_at == kNever);
}

namespace {

// What the guardian tells a sentinel that does not run meanwhile.
struct Unseen : Rig {
  void acts() {
    slot.claimed_at.store(now);
    slot.act_begins();
  }
  // Whether the next step reports it.
  bool taken(Need need = Need::kFine) {
    Input given;
    given.sample = sample;
    given.sample.need = need;
    given.fact = Fact::kNotified;
    given.unreadable = unreadable;
    out = {};
    bool is = unseen.take(slot, machine, now, given, out);
    CHECK((out.fact == Fact::kUnseen) == is);
    if (is) CHECK(out.unreadable == unreadable);
    waits = given.unseen_waits;
    return is;
  }
  UnseenActs unseen;
  Input out;
  bool unreadable = false;
  bool waits = false;
};

}  // namespace

TEST_CASE("an OOM that the guardian has ended without an episode is reported once") {
  Unseen rig;
  CHECK_FALSE(rig.taken());
  for (int i = 0; i < 3; i++) {
    int64_t acted_at = rig.now += 1000 * kMs;
    rig.acts();
    rig.slot.act_is_over();
    rig.now += 10 * kMs;
    SUBCASE("the group is fine") { CHECK(rig.taken()); }
    SUBCASE("another OOM has begun since") { CHECK(rig.taken(Need::kStarved)); }
    CHECK(rig.out.ns == acted_at);
    CHECK(rig.unseen.next() == kNever);
    CHECK_FALSE(rig.taken());
    // Its end is told again by nobody, and changes nothing.
    rig.slot.act_is_over();
    CHECK_FALSE(rig.taken());
  }
}

TEST_CASE("what the guardian does in an episode is that one's") {
  Unseen rig;
  rig.look();
  rig.acts();
  CHECK_FALSE(rig.taken(Need::kStarved));
  rig.slot.act_is_over();
  rig.look(Need::kFine);
  rig.now += 2 * kMs;
  rig.look(Need::kFine);
  REQUIRE_FALSE(rig.machine.active());
  CHECK_FALSE(rig.taken());
}

TEST_CASE("an act whose end the guardian has not seen is waited for, as long as one takes") {
  Unseen rig;
  rig.acts();
  int64_t acted_at = rig.now;
  rig.now += kMs;
  CHECK_FALSE(rig.waits);
  CHECK_FALSE(rig.taken());
  CHECK(rig.waits);
  CHECK(rig.unseen.next() == acted_at + 1100 * kMs);
  SUBCASE("it sees the end") {
    rig.slot.act_is_over();
    CHECK(rig.taken());
    CHECK_FALSE(rig.waits);
  }
  SUBCASE("it has ended before") {
    rig.now = acted_at + 1100 * kMs - 1;
    CHECK_FALSE(rig.taken());
    rig.now++;
    // An OOM that goes on is the episode that begins.
    CHECK_FALSE(rig.taken(Need::kStarved));
    CHECK(rig.unseen.next() == rig.now + 10 * kMs);
    rig.unreadable = true;
    CHECK_FALSE(rig.taken());
    rig.unreadable = false;
    CHECK(rig.taken());
    CHECK(rig.out.ns == acted_at);
    CHECK(rig.unseen.next() == kNever);
  }
  SUBCASE("it acts in the episode that begins") {
    rig.look();
    CHECK_FALSE(rig.taken(Need::kStarved));
    CHECK(rig.unseen.next() == kNever);
  }
}

TEST_CASE("what is out of memory after an unseen OOM is no process's yet") {
  Unseen rig;
  rig.acts();
  rig.slot.act_is_over();
  REQUIRE(rig.taken());
  rig.tell(rig.out);
  CHECK(rig.slot.state.load() == SlotState::kArmed);
  CHECK(rig.slot.view().episode == 1);
  rig.now += kMs;
  rig.look();
  REQUIRE(rig.machine.active());
  CHECK(rig.slot.claim.load() == rig.word(Claimant::kNobody));
}

TEST_CASE("a disposed guard publishes that the killer is back when it is, not before") {
  Rig rig;
  rig.look();
  Input cancel;
  cancel.fact = Fact::kCancel;
  rig.tell(cancel);
  CHECK(rig.slot.state.load() == SlotState::kEpisode);
  publish_released(rig.slot);
  CHECK(rig.slot.state.load() == SlotState::kReleased);
}

TEST_CASE("a release is announced once in an episode, and again after a stop") {
  ReleaseNotice notice;
  CHECK(notice.due(1, 1'000 * kMs));
  // Attempts that fail.
  for (int64_t at = 1'005; at < 1'500; at += 5) CHECK_FALSE(notice.due(1, at * kMs));
  CHECK_FALSE(notice.due(1, 1'594 * kMs));
  CHECK(notice.due(1, 1'694 * kMs));
  CHECK_FALSE(notice.due(1, 1'695 * kMs));
  CHECK(notice.due(2, 1'696 * kMs));
}
