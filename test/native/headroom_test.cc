// The limit as other processes have set it, and what a plan has raised it by.
#include "core/rules/headroom.h"

#include <doctest/doctest.h>

#include <initializer_list>

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kBase = 64 * kMiB;
constexpr int64_t kNow = 1'000 * kMs;

// In an episode of a group whose limit is kBase.
struct Rig {
  Rig() {
    headroom.observe(kBase);
    headroom.episode_begins();
  }
  // A step of the plan, from its start to its answer.
  void step(uint64_t bytes) {
    headroom.announce(headroom.target(bytes));
    headroom.answered(true, 0, bytes);
  }
  // A step whose episode ends before it answers.
  void stray_step(uint64_t bytes) {
    headroom.announce(headroom.target(bytes));
    headroom.episode_ends();
  }
  void is(uint64_t base, uint64_t raised_by) const {
    CHECK(headroom.base() == base);
    CHECK(headroom.raised_by() == raised_by);
    CHECK(headroom.raised() == (raised_by > 0));
    CHECK(headroom.limit() == base + raised_by);
  }

  Headroom headroom;
};

}  // namespace

TEST_CASE("the first limit that is seen is the base") {
  Headroom headroom;
  CHECK(headroom.observe(kBase));
  CHECK(headroom.base() == kBase);
  CHECK_FALSE(headroom.raised());
}

TEST_CASE("a limit above base and headroom was raised by another process, and is the base") {
  Rig rig;
  rig.step(8 * kMiB);
  CHECK_FALSE(rig.headroom.observe(kBase + 8 * kMiB));
  rig.is(kBase, 8 * kMiB);
  CHECK(rig.headroom.observe(kBase + 8 * kMiB + 1));
  rig.is(kBase + 8 * kMiB + 1, 0);
}

TEST_CASE("what is lowered comes from the headroom first, then from the base") {
  Rig rig;
  rig.step(8 * kMiB);
  CHECK_FALSE(rig.headroom.observe(kBase + 6 * kMiB));
  rig.is(kBase, 6 * kMiB);
  SUBCASE("step by step") {
    CHECK_FALSE(rig.headroom.observe(kBase));
    rig.is(kBase, 0);
  }
  SUBCASE("at once") {}
  CHECK_FALSE(rig.headroom.observe(kBase - kMiB));
  rig.is(kBase - kMiB, 0);
}

TEST_CASE("a step that shows before it has answered is not another process's work") {
  Rig rig;
  rig.headroom.announce(rig.headroom.target(8 * kMiB));
  CHECK_FALSE(rig.headroom.observe(kBase + 8 * kMiB));
  rig.is(kBase, 0);
  rig.headroom.answered(true, 0, 8 * kMiB);
  rig.is(kBase, 8 * kMiB);
}

TEST_CASE("a limit that another process sets while a step runs is its own") {
  Rig rig;
  rig.headroom.announce(rig.headroom.target(8 * kMiB));
  CHECK(rig.headroom.observe(kBase + 9 * kMiB));
  rig.is(kBase + 9 * kMiB, 0);
}

TEST_CASE("a step that has failed, or raises no limit, raises nothing and grants nothing") {
  Rig rig;
  SUBCASE("failed") {
    rig.headroom.announce(rig.headroom.target(8 * kMiB));
    rig.headroom.answered(false, 0, 8 * kMiB);
  }
  SUBCASE("raises no limit") {
    rig.headroom.announce(0);
    rig.headroom.answered(true, 0, 8 * kMiB);
  }
  rig.is(kBase, 0);
  CHECK(rig.headroom.target(8 * kMiB) == kBase + 8 * kMiB);
  CHECK(rig.headroom.observe(kBase + 8 * kMiB));
}

TEST_CASE("the limit that a step returns as written goes before the one announced") {
  Rig rig;
  rig.headroom.announce(rig.headroom.target(8 * kMiB));
  rig.headroom.answered(true, kBase + 4 * kMiB, 8 * kMiB);
  rig.is(kBase, 4 * kMiB);
  // What is planned after it counts from what was planned.
  CHECK(rig.headroom.target(4 * kMiB) == kBase + 12 * kMiB);
}

TEST_CASE("a step comes on top of the episode's earlier steps, as planned") {
  Rig rig;
  rig.step(8 * kMiB);
  rig.headroom.observe(kBase + 2 * kMiB);
  CHECK(rig.headroom.target(4 * kMiB) == kBase + 12 * kMiB);
  rig.step(4 * kMiB);
  rig.is(kBase, 12 * kMiB);
}

TEST_CASE("the steps of each episode count from the base") {
  Rig rig;
  rig.step(8 * kMiB);
  rig.headroom.episode_ends();
  rig.headroom.episode_begins();
  rig.is(kBase, 8 * kMiB);
  CHECK(rig.headroom.target(4 * kMiB) == kBase + 4 * kMiB);
  // The limit is that high already.
  rig.step(4 * kMiB);
  rig.is(kBase, 8 * kMiB);
}

TEST_CASE("a target is in whole pages of 64 KiB, and not above the largest number") {
  Rig rig;
  CHECK(rig.headroom.target(65535) == kBase);
  CHECK(rig.headroom.target(65536) == kBase + 65536);
  CHECK(rig.headroom.target(UINT64_MAX) == UINT64_MAX - 65535);
}

TEST_CASE("a step that answers after its episode counts when it does") {
  Rig rig;
  rig.stray_step(8 * kMiB);
  CHECK_FALSE(rig.headroom.observe(kBase + 8 * kMiB));
  rig.is(kBase, 0);
  SUBCASE("done") {
    rig.headroom.answered_late(true, 0);
    rig.is(kBase, 8 * kMiB);
  }
  SUBCASE("done otherwise") {
    rig.headroom.answered_late(true, kBase + 4 * kMiB);
    rig.is(kBase, 4 * kMiB);
  }
  SUBCASE("failed") {
    rig.headroom.answered_late(false, kBase + 8 * kMiB);
    rig.is(kBase, 0);
  }
}

TEST_CASE("a late answer that has the limit it wrote settles the step") {
  Rig rig;
  rig.stray_step(8 * kMiB);
  rig.headroom.answered_late(true, kBase + 4 * kMiB);
  CHECK(rig.headroom.observe(kBase + 8 * kMiB));
}

TEST_CASE("the next episode's end does not make a late step another process's") {
  Rig rig;
  rig.stray_step(8 * kMiB);
  rig.headroom.episode_begins();
  rig.headroom.episode_ends();
  CHECK_FALSE(rig.headroom.observe(kBase + 8 * kMiB));
}

TEST_CASE("a base that the program wants takes from the headroom what is above the old one") {
  Rig rig;
  rig.step(16 * kMiB);
  CHECK_FALSE(rig.headroom.raise_base(kBase - 1));
  CHECK_FALSE(rig.headroom.raise_base(kBase));
  CHECK(rig.headroom.raise_base(kBase + 4 * kMiB));
  rig.is(kBase + 4 * kMiB, 12 * kMiB);
  CHECK(rig.headroom.raise_base(kBase + 20 * kMiB));
  rig.is(kBase + 20 * kMiB, 0);
}

TEST_CASE("a step that ends below the base has raised nothing") {
  Rig rig;
  rig.headroom.announce(rig.headroom.target(8 * kMiB));
  rig.headroom.raise_base(kBase + 20 * kMiB);
  rig.headroom.answered(true, 0, 8 * kMiB);
  rig.is(kBase + 20 * kMiB, 0);
}

TEST_CASE("headroom is called in at once, every 10 ms, and for 50 ms") {
  using CallIn = Headroom::CallIn;
  Headroom headroom;
  CHECK(headroom.call_in(kNow) == CallIn::kLowerNow);
  CHECK(headroom.call_in(kNow + 10 * kMs - 1) == CallIn::kWait);
  CHECK(headroom.call_in(kNow + 10 * kMs) == CallIn::kLowerNow);
  CHECK(headroom.call_in(kNow + 20 * kMs - 1) == CallIn::kWait);
  CHECK(headroom.call_in(kNow + 50 * kMs - 1) == CallIn::kLowerNow);
  CHECK(headroom.call_in(kNow + 50 * kMs) == CallIn::kOver);
}

TEST_CASE("with another deadline headroom is called in again") {
  using CallIn = Headroom::CallIn;
  Headroom headroom;
  headroom.call_in(kNow);
  headroom.deadline_moved();
  CHECK(headroom.call_in(kNow + 5 * kMs) == CallIn::kLowerNow);
  CHECK(headroom.call_in(kNow + 50 * kMs) == CallIn::kLowerNow);
  CHECK(headroom.call_in(kNow + 55 * kMs) == CallIn::kOver);
}

TEST_CASE("without headroom there is nothing to lower") {
  Rig rig;
  CHECK_FALSE(rig.headroom.lower_when_idle(kNow));
  CHECK(rig.headroom.next_ask() == kNever);
  rig.step(8 * kMiB);
  rig.headroom.lower_when_idle(kNow);
  rig.headroom.observe(kBase);
  CHECK_FALSE(rig.headroom.lower_when_idle(kNow + 50 * kMs));
  CHECK(rig.headroom.next_ask() == kNever);
}

TEST_CASE("an idle group's limit is lowered after 50 ms, then each time twice as late, up to 1 s") {
  Rig rig;
  rig.step(8 * kMiB);
  int64_t now = kNow;
  CHECK_FALSE(rig.headroom.lower_when_idle(now));
  for (int64_t ms : {50, 100, 200, 400, 800, 1000, 1000}) {
    now += ms * kMs;
    CHECK(rig.headroom.next_ask() == now);
    CHECK_FALSE(rig.headroom.lower_when_idle(now - 1));
    CHECK(rig.headroom.lower_when_idle(now));
  }
}

TEST_CASE("an episode begins the idle times again") {
  Rig rig;
  rig.step(8 * kMiB);
  rig.headroom.lower_when_idle(kNow);
  rig.headroom.lower_when_idle(kNow + 50 * kMs);
  SUBCASE("its beginning") { rig.headroom.episode_begins(); }
  SUBCASE("its end") { rig.headroom.episode_ends(); }
  CHECK(rig.headroom.next_ask() == kNever);
  CHECK_FALSE(rig.headroom.lower_when_idle(kNow + 500 * kMs));
  CHECK(rig.headroom.lower_when_idle(kNow + 550 * kMs));
  CHECK(rig.headroom.next_ask() == kNow + 650 * kMs);
}
