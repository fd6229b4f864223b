// Episodes of a group that thrashes: how they begin, what is done in them, and how they end.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "core/rules/episode.h"

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr int64_t kStep = 100 * kMs;

// A delay of 3 s; 500 ms of a window of 1 s.
EpisodeConfig guard(Fallback fallback = Fallback::kKernel) {
  EpisodeConfig config;
  config.delay_ns = 3'000 * kMs;
  config.max_delay_ns = 30'000 * kMs;
  config.fallback = fallback;
  config.thrash = {.stall_ns = 500 * kMs, .window_ns = 1'000 * kMs};
  config.traits = {.notifies_of_more = true, .waits_in_fault = false, .thaw_to_kill = false};
  return config;
}

EpisodeConfig plan(PlanStep step) {
  EpisodeConfig config = guard();
  config.plan[0] = step;
  config.plan_size = 1;
  return config;
}

// A group at its limit, driven as a driver does.
struct Rig {
  explicit Rig(const EpisodeConfig& config) : machine(config) {
    sample.limit = 64 * kMiB;
    sample.usage = 63 * kMiB;
    sample.reclaimable = 40 * kMiB;
    tell(Fact::kNotified);
  }

  std::string tell(Input input) {
    constexpr const char* names[] = {"begin", "step", "fallback", "lower", "end"};
    input.sample = sample;
    if (machine.wants_stalls(now)) {
      input.sample.stalls = {.known = true,
                             .at_edge = sample.usage > 60 * kMiB,
                             .full_us = static_cast<uint64_t>(stalled / 1000),
                             .restored = static_cast<uint64_t>(stalled / 1000)};
    }
    Actions actions;
    machine.step(now, input, actions);
    std::string said;
    if (machine.grip() == Grip::kKernelsTurn) said = "letgo ";
    for (uint8_t i = 0; i < actions.size; i++) {
      said += names[static_cast<size_t>(actions.list[i].what)];
      said += ' ';
    }
    return said;
  }
  std::string tell(Fact fact, int64_t ns = 0) {
    Input input;
    input.fact = fact;
    input.ns = ns;
    return tell(input);
  }
  std::string answer(uint32_t killed, int32_t result = 0) {
    Input input;
    input.fact = Fact::kFallbackDone;
    input.killed = killed;
    input.result = result;
    return tell(input);
  }
  // Samples when the machine wants to, until that much later, or until something is done.
  std::string run(int64_t ns, bool to_the_end = false) {
    std::string said;
    const int64_t until = now + ns;
    while (now < until && (to_the_end || said.empty())) {
      int64_t next = std::min(machine.next_wake(), until);
      // The kernel takes memory back, and notifies.
      if (stalls) next = std::min(next, now + kStep);
      if (stalls) stalled += next - now;
      now = next;
      said += tell(Fact::kSampled);
    }
    return said;
  }
  void thrash() {
    stalls = true;
    CHECK(run(5'000 * kMs) == "begin ");
    CHECK(machine.reason() == Reason::kThrash);
  }
  void starve() {
    sample.need = Need::kStarved;
    sample.reclaimable = 0;
  }
  Outcome outcome() const { return machine.end().outcome; }

  EpisodeMachine machine;
  Sample sample;
  bool stalls = false;
  int64_t stalled = 0;
  int64_t now = 1'000 * kMs;
};

}  // namespace

TEST_CASE("an episode begins when the group has stalled for long enough of a window") {
  Rig rig(guard());
  const int64_t from = rig.now;
  rig.stalls = true;
  CHECK(rig.run(5'000 * kMs) == "begin ");
  CHECK(rig.now - from == 600 * kMs);
  CHECK(rig.machine.started_at() == rig.now);
  CHECK(rig.machine.deadline() == rig.now + 3'000 * kMs);
  CHECK(rig.machine.first().usage == 63 * kMiB);
  CHECK(rig.machine.reason() == Reason::kThrash);
  CHECK(rig.machine.holding());
}

TEST_CASE("a group that does not stall costs no samples") {
  Rig rig(guard());
  CHECK(rig.machine.next_wake() == kNever);
  CHECK(rig.run(kStep) == "");
  CHECK(rig.machine.next_wake() == kNever);
  // Behind a stall it is watched for a window.
  rig.now += kStep;
  rig.stalled += kMs;
  rig.tell(Fact::kSampled);
  CHECK(rig.machine.next_wake() == rig.now + kStep);
  CHECK(rig.machine.wants_stalls(rig.now + kStep));
  CHECK_FALSE(rig.machine.wants_stalls(rig.now));
  CHECK(rig.run(1'000 * kMs) == "");
  CHECK(rig.machine.next_wake() == kNever);
}

TEST_CASE("without the option, and with a delay of 0, it begins none") {
  EpisodeConfig config = guard();
  SUBCASE("off") { config.thrash = {}; }
  SUBCASE("released") { config.delay_ns = 0; }
  Rig rig(config);
  rig.stalls = true;
  for (int i = 0; i < 30; i++) {
    rig.now += kStep;
    rig.stalled += kStep;
    CHECK_FALSE(rig.machine.wants_stalls(rig.now));
    CHECK(rig.tell(Fact::kSampled) == "");
  }
  CHECK(rig.machine.next_wake() == kNever);
}

TEST_CASE("it recovers when it has not stalled for a window") {
  Rig rig(guard());
  rig.thrash();
  CHECK(rig.run(1'000 * kMs) == "");
  rig.stalls = false;
  const int64_t from = rig.now;
  CHECK(rig.run(2'500 * kMs) == "end ");
  CHECK(rig.outcome() == Outcome::kRecovered);
  CHECK(rig.machine.end().reason == Reason::kThrash);
  // There was enough in the window for half of one.
  CHECK(rig.now - from >= 1'500 * kMs);
  CHECK(rig.now - from < 1'600 * kMs);
  // And may begin again.
  rig.tell(Fact::kNotified);
  rig.stalls = true;
  CHECK(rig.run(5'000 * kMs) == "begin ");
  CHECK(rig.machine.id() == 2);
}

TEST_CASE("it recovers when usage has dropped") {
  Rig rig(guard());
  rig.thrash();
  rig.sample.usage = 30 * kMiB;
  CHECK(rig.run(1'000 * kMs) == "end ");
  CHECK(rig.outcome() == Outcome::kRecovered);
}

TEST_CASE("it ends when the limit is raised, when a process is killed, and when none is left") {
  Rig rig(guard());
  rig.thrash();
  SUBCASE("raised") {
    rig.sample.limit = 128 * kMiB;
    CHECK(rig.run(100 * kMs) == "end ");
    CHECK(rig.outcome() == Outcome::kLimitRaised);
  }
  SUBCASE("killed, when that has taken effect") {
    Input killed;
    killed.fact = Fact::kUserKilled;
    killed.killed = 1;
    CHECK(rig.tell(killed) == "");
    const int64_t at = rig.now;
    CHECK(rig.run(1'000 * kMs) == "end ");
    CHECK(rig.outcome() == Outcome::kKilled);
    CHECK(rig.now - at == 100 * kMs);
  }
  SUBCASE("deserted") {
    rig.sample.deserted = true;
    CHECK(rig.run(100 * kMs) == "end ");
    CHECK(rig.outcome() == Outcome::kRecovered);
  }
}

TEST_CASE("disposing it, removing it and a delay of 0 end it") {
  Rig rig(guard());
  rig.thrash();
  SUBCASE("disposed") {
    CHECK(rig.tell(Fact::kCancel) == "end ");
    CHECK(rig.outcome() == Outcome::kCancelled);
  }
  SUBCASE("removed") {
    CHECK(rig.tell(Fact::kRemoved) == "end ");
    CHECK(rig.outcome() == Outcome::kRemoved);
  }
  SUBCASE("delay 0") {
    CHECK(rig.tell(Fact::kSetDelay, 0) == "end ");
    CHECK(rig.outcome() == Outcome::kCancelled);
    CHECK(rig.machine.next_wake() < kNever);
    rig.run(200 * kMs);
    CHECK(rig.machine.next_wake() == kNever);
  }
}

TEST_CASE("a kill is not hidden by the guard's end, though the group still stalls") {
  Rig rig(guard());
  rig.thrash();
  Input killed;
  killed.fact = Fact::kUserKilled;
  killed.killed = 1;
  rig.tell(killed);
  rig.sample.usage = 30 * kMiB;
  CHECK(rig.tell(Fact::kCancel) == "end ");
  CHECK(rig.outcome() == Outcome::kKilled);
}

TEST_CASE("at the deadline the largest is killed where the kernel would have nothing to decide") {
  Rig rig(guard());
  rig.thrash();
  CHECK(rig.machine.fallback() == Fallback::kKillLargest);
  const int64_t deadline = rig.machine.deadline();
  CHECK(rig.run(5'000 * kMs) == "fallback ");
  CHECK(rig.now == deadline);
  CHECK(rig.machine.holding());
  rig.now += 2 * kMs;
  CHECK(rig.answer(1) == "");
  CHECK(rig.run(1'000 * kMs) == "end ");
  CHECK(rig.outcome() == Outcome::kFallback);
  CHECK(rig.machine.end().late_ns == 2 * kMs);
  CHECK(rig.now == deadline + 102 * kMs);
  CHECK(rig.machine.fallback() == Fallback::kKillLargest);
  // The next one, an OOM, is the kernel's again.
  rig.starve();
  CHECK(rig.tell(Fact::kNotified) == "begin ");
  CHECK(rig.machine.fallback() == Fallback::kKernel);
  CHECK(rig.machine.reason() == Reason::kOom);
  CHECK(rig.run(5'000 * kMs) == "letgo ");
}

TEST_CASE("one that was out of memory for a while, and thrashes on, is no case for the kernel") {
  Rig rig(guard());
  rig.thrash();
  rig.starve();
  CHECK(rig.run(200 * kMs) == "");
  rig.sample.need = Need::kNear;
  rig.sample.reclaimable = 40 * kMiB;
  CHECK(rig.run(5'000 * kMs) == "fallback ");
}

TEST_CASE("another fallback is the same for both reasons") {
  Rig rig(guard(Fallback::kKillGroup));
  rig.thrash();
  CHECK(rig.machine.fallback() == Fallback::kKillGroup);
  CHECK(rig.run(5'000 * kMs) == "fallback ");
}

TEST_CASE("if it has killed no process, the episode ends all the same") {
  Rig rig(guard());
  rig.thrash();
  CHECK(rig.run(5'000 * kMs) == "fallback ");
  SUBCASE("it says so") {
    CHECK(rig.answer(0, -1) == "end ");
    CHECK(rig.outcome() == Outcome::kFallback);
  }
  SUBCASE("it says nothing for a second") {
    const int64_t from = rig.now;
    CHECK(rig.run(5'000 * kMs) == "end ");
    CHECK(rig.now - from == 1'000 * kMs);
    CHECK(rig.outcome() == Outcome::kFallback);
  }
  CHECK_FALSE(rig.machine.active());
  CHECK(rig.machine.holding());
}

TEST_CASE("if it has killed no process, and an OOM has begun that is hidden, the kernel follows") {
  for (bool out_of_memory : {false, true}) {
    Rig rig(guard(Fallback::kKillGroup));
    rig.thrash();
    if (out_of_memory) rig.starve();
    CHECK(rig.run(5'000 * kMs) == "fallback ");
    rig.sample.need = Need::kUnclear;
    rig.now += 60 * kMs;
    CHECK(rig.tell(Fact::kSampled) == "");
    CHECK(rig.answer(0, -16) == (out_of_memory ? "letgo " : "end "));
  }
}

TEST_CASE("yield() and a step 'kernel' carry the fallback out before the deadline") {
  SUBCASE("yield") {
    Rig rig(guard());
    rig.thrash();
    CHECK(rig.tell(Fact::kYield) == "fallback ");
    CHECK(rig.answer(1) == "");
    CHECK(rig.run(1'000 * kMs) == "end ");
    CHECK(rig.outcome() == Outcome::kFallback);
    CHECK(rig.machine.end().late_ns == 0);
  }
  SUBCASE("step") {
    PlanStep kernel;
    kernel.after_ns = 200 * kMs;
    Rig rig(plan(kernel));
    rig.thrash();
    CHECK(rig.run(1'000 * kMs) == "step ");
    CHECK(rig.tell(Fact::kStepDone) == "fallback ");
  }
  SUBCASE("of a group that is out of memory they let the kernel decide") {
    Rig rig(guard());
    rig.thrash();
    rig.starve();
    CHECK(rig.tell(Fact::kYield) == "letgo ");
  }
}

TEST_CASE("the plan runs") {
  PlanStep reclaim;
  reclaim.kind = StepKind::kReclaim;
  reclaim.after_ns = 200 * kMs;
  Rig rig(plan(reclaim));
  rig.thrash();
  const int64_t from = rig.now;
  CHECK(rig.run(1'000 * kMs) == "step ");
  CHECK(rig.now - from == 200 * kMs);
  CHECK(rig.tell(Fact::kStepDone) == "");
  rig.stalls = false;
  CHECK(rig.run(2'500 * kMs) == "end ");
  CHECK(rig.outcome() == Outcome::kPlan);
}

TEST_CASE("members that a step has frozen have not recovered") {
  PlanStep freeze;
  freeze.kind = StepKind::kFreeze;
  Rig rig(plan(freeze));
  rig.stalls = true;
  CHECK(rig.run(5'000 * kMs) == "begin step ");
  rig.tell(Fact::kStepDone);
  rig.stalls = false;
  const int64_t deadline = rig.machine.deadline();
  CHECK(rig.run(5'000 * kMs) == "fallback ");
  CHECK(rig.now == deadline);
}

TEST_CASE("a group that runs out of memory meanwhile keeps the deadline, and the kernel decides") {
  Rig rig(guard());
  rig.thrash();
  const int64_t deadline = rig.machine.deadline();
  CHECK(rig.run(1'000 * kMs) == "");
  rig.starve();
  CHECK(rig.run(1'500 * kMs) == "");
  CHECK(rig.machine.active());
  CHECK(rig.machine.id() == 1);
  CHECK(rig.machine.reason() == Reason::kThrash);
  CHECK(rig.run(5'000 * kMs) == "letgo ");
  CHECK(rig.now == deadline);
}

TEST_CASE("where it runs out of memory while our killer works, the kernel stands behind that") {
  Rig rig(guard());
  rig.thrash();
  CHECK(rig.run(5'000 * kMs) == "fallback ");
  rig.starve();
  CHECK(rig.run(1'000 * kMs) == "letgo ");
}

TEST_CASE("what is stalled in an OOM, by tasks that the hold lets sleep, begins none after it") {
  Rig rig(guard());
  rig.starve();
  CHECK(rig.tell(Fact::kNotified) == "begin ");
  rig.stalls = true;
  for (int i = 0; i < 20; i++) {
    CHECK_FALSE(rig.machine.wants_stalls(rig.now + kStep));
    rig.run(kStep);
  }
  rig.sample.need = Need::kFine;
  rig.sample.reclaimable = 40 * kMiB;
  rig.stalls = false;
  CHECK(rig.run(100 * kMs) == "end ");
  CHECK(rig.machine.end().reason == Reason::kOom);
  rig.tell(Fact::kNotified);
  CHECK(rig.run(3'000 * kMs) == "");
}

TEST_CASE("what cannot be read is not stalled, and does not count twice") {
  Rig rig(guard());
  rig.stalls = true;
  CHECK(rig.run(300 * kMs) == "");
  Input blind;
  blind.unreadable = true;
  for (int i = 0; i < 30; i++) {
    rig.now += kStep;
    blind.sample = rig.sample;
    Actions actions;
    rig.machine.step(rig.now, blind, actions);
    CHECK(actions.size == 0);
  }
}

TEST_CASE("a dry run reports it and does nothing, for as long as it lasts") {
  EpisodeConfig config = guard();
  config.dry_run = true;
  Rig rig(config);
  // A dry run takes a notification for an OOM, which the first was.
  rig.run(300 * kMs, true);
  CHECK(rig.machine.end().id == 1);
  rig.stalls = true;
  CHECK(rig.run(5'000 * kMs) == "begin ");
  CHECK(rig.machine.reason() == Reason::kThrash);
  CHECK(rig.run(10'000 * kMs) == "");
  CHECK(rig.machine.next_wake() == rig.now + 100 * kMs);
  rig.stalls = false;
  CHECK(rig.run(5'000 * kMs) == "end ");
  CHECK(rig.outcome() == Outcome::kRecovered);
}

TEST_CASE("the time is sampled ten times a window in an episode as well, and no more often") {
  Rig rig(guard());
  rig.thrash();
  CHECK(rig.machine.next_wake() - rig.now == 10 * kMs);
  CHECK_FALSE(rig.machine.wants_stalls(rig.now));
  CHECK(rig.machine.wants_stalls(rig.now + kStep));
}
