// The rules of the episode machine one by one: facts in, actions and outcome out.
#include "core/rules/episode.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr uint64_t kMiB = 1 << 20;

// Feeds one machine; each call returns what the machine asked for, as "begin step0 letgo …".
struct Rig {
  explicit Rig(const EpisodeConfig& config) : machine(config) {
    sample.limit = 64 * kMiB;
    sample.usage = 20 * kMiB;
    look();
  }

  std::string tell(Input input) {
    input.unseen_waits = unseen_waits;
    constexpr const char* names[] = {"begin", "step", "fallback", "lower", "end"};
    input.sample = sample;
    Actions actions;
    machine.step(now, input, actions);
    // The switch comes first, as with every driver.
    std::string said;
    Grip want = machine.grip();
    if (grip.due(now, machine.wish())) {
      said = want == Grip::kHeld ? "hold" : "letgo";
      grip.applied(now, want, !fails);
    }
    for (uint8_t i = 0; i < actions.size; i++) {
      if (!said.empty()) said += ' ';
      said += names[static_cast<size_t>(actions.list[i].what)];
      if (actions.list[i].what == Do::kStep) said += std::to_string(actions.list[i].index);
    }
    return said;
  }
  std::string tell(Fact fact, int64_t ns = 0) {
    Input input;
    input.fact = fact;
    input.ns = ns;
    return tell(input);
  }
  std::string look() { return tell(Fact::kSampled); }
  std::string after(int64_t ms) {
    now += ms * kMs;
    return look();
  }
  std::string answer(Fact fact, uint32_t killed, int32_t result = 0, uint32_t episode = 0) {
    Input input;
    input.fact = fact;
    input.killed = killed;
    input.result = result;
    input.episode = episode;
    return tell(input);
  }
  std::string starve() {
    sample.usage = sample.limit;
    sample.need = Need::kStarved;
    return tell(Fact::kNotified);
  }
  void relieve() {
    sample.usage = sample.limit / 4;
    sample.need = Need::kFine;
  }
  Outcome outcome() const { return machine.end().outcome; }
  int64_t next_wake() const { return std::min(machine.next_wake(), grip.next(machine.wish())); }
  int64_t wakes_in() const { return next_wake() - now; }

  EpisodeMachine machine;
  Switch grip{machine.grip()};
  bool fails = false;  // the switch
  bool unseen_waits = false;
  Sample sample;
  int64_t now = 1'000 * kMs;
};

EpisodeConfig guard(int64_t delay_ms = 100, Fallback fallback = Fallback::kKernel) {
  EpisodeConfig config;
  config.delay_ns = delay_ms * kMs;
  config.max_delay_ns = 10 * delay_ms * kMs;
  config.fallback = fallback;
  return config;
}

EpisodeConfig plan(std::initializer_list<PlanStep> steps, Fallback fallback = Fallback::kKernel) {
  EpisodeConfig config = guard(100, fallback);
  for (const PlanStep& step : steps) config.plan[config.plan_size++] = step;
  return config;
}

PlanStep step(StepKind kind, int64_t after_ms = 0, uint64_t bytes = 0, int32_t signal = 0) {
  PlanStep s;
  s.kind = kind;
  s.after_ns = after_ms * kMs;
  s.bytes = bytes;
  s.signal = signal;
  return s;
}

}  // namespace

TEST_CASE("held exactly while user space decides") {
  Rig rig(guard());
  CHECK(rig.machine.holding());
  rig.starve();
  CHECK(rig.machine.holding());
  CHECK(rig.after(100) == "letgo");
  CHECK_FALSE(rig.machine.holding());
  rig.relieve();
  CHECK(rig.after(100) == "hold end");
  CHECK(rig.machine.holding());
  rig.tell(Fact::kCancel);
  CHECK_FALSE(rig.machine.holding());
  CHECK_FALSE(Rig(guard(0)).machine.holding());
  EpisodeConfig dry = guard();
  dry.dry_run = true;
  CHECK_FALSE(Rig(dry).machine.holding());
}

TEST_CASE("an episode begins when a notification or a sample shows that tasks wait") {
  Rig told(guard());
  CHECK(told.starve() == "begin");
  CHECK(told.machine.started_at() == told.now);
  CHECK(told.machine.deadline() == told.now + 100 * kMs);
  CHECK(told.machine.first().usage == 64 * kMiB);
  CHECK(told.machine.id() == 1);

  Rig found(guard());
  found.sample.need = Need::kStarved;
  CHECK(found.look() == "begin");

  Rig other(guard());  // an ancestor's, or one that is over already
  CHECK(other.tell(Fact::kNotified) == "");
  CHECK_FALSE(other.machine.active());
  CHECK(other.wakes_in() == 5 * kMs);  // but sampling goes on for 100 ms
  CHECK(other.after(100) == "");
  CHECK(other.machine.next_wake() == kNever);
}

TEST_CASE("delay 0: the kernel decides, and gets its killer back if it has lost it") {
  Rig rig(guard(0));
  CHECK(rig.starve() == "letgo");
  CHECK(rig.look() == "");
  CHECK(rig.wakes_in() == 5 * kMs);
  CHECK(rig.after(5) == "letgo");
  CHECK_FALSE(rig.machine.active());
  rig.relieve();
  CHECK(rig.after(5) == "");
}

TEST_CASE("an end must last") {
  Rig rig(guard());
  rig.starve();
  rig.relieve();
  CHECK(rig.after(10) == "");
  CHECK(rig.wakes_in() == 1 * kMs);
  rig.now += kMs;
  CHECK(rig.tell(Fact::kNotified) == "");  // so it was a waiter that tried again
  CHECK(rig.after(1) == "");
  rig.sample.need = Need::kStarved;
  CHECK(rig.after(1) == "");
  rig.relieve();
  CHECK(rig.after(1) == "");
  CHECK(rig.after(1) == "");
  CHECK(rig.after(1) == "end");
  CHECK(rig.outcome() == Outcome::kRecovered);
  CHECK(rig.machine.end().at == rig.now);
  CHECK(rig.machine.end().late_ns == 0);
  CHECK(rig.machine.end().id == 1);

  Rig found(guard(300));
  found.sample.need = Need::kStarved;
  found.look();
  found.relieve();
  found.after(200);
  CHECK(found.after(2) == "end");
  CHECK(found.wakes_in() == 5 * kMs);  // sampling goes on for 100 ms
  CHECK(found.after(100) == "");
  CHECK(found.machine.next_wake() == kNever);

  // An end is believed in a sample alone, since a notification may be waiting behind an answer or
  // a call.
  Rig answered(guard());
  answered.starve();
  answered.relieve();
  answered.after(10);
  answered.now += 2 * kMs;
  CHECK(answered.answer(Fact::kStepDone, 0, -5) == "");
  CHECK(answered.tell(Fact::kExtend, kMs) == "");
  CHECK(answered.wakes_in() == 1 * kMs);
  CHECK(answered.tell(Fact::kNotified) == "");
  CHECK(answered.after(2) == "end");
}

TEST_CASE("the deadline: not before, at it, and how late") {
  Rig rig(guard());
  rig.starve();
  CHECK(rig.after(99) == "");
  CHECK(rig.wakes_in() == 1 * kMs);
  rig.now += kMs + 300;
  CHECK(rig.look() == "letgo");
  rig.relieve();
  rig.sample.kills++;
  CHECK(rig.after(1) == "hold end");
  CHECK(rig.outcome() == Outcome::kFallback);
  CHECK(rig.machine.end().late_ns == 300);
  CHECK(rig.machine.end().kernel_kills == 1);
}

TEST_CASE("a deadline in the middle of a quiet period waits for its end") {
  Rig rig(guard());
  rig.starve();
  rig.relieve();
  rig.after(99);
  CHECK(rig.after(1) == "");
  CHECK(rig.after(1) == "end");
  CHECK(rig.outcome() == Outcome::kRecovered);

  Rig again(guard());
  again.starve();
  again.relieve();
  again.after(99);
  CHECK(again.after(1) == "");
  CHECK(again.starve() == "letgo");
}

TEST_CASE("flapping puts the deadline off by 20 ms and no more") {
  Rig rig(guard());
  rig.starve();
  rig.relieve();
  rig.now += 100 * kMs;
  for (int i = 0; i < 20; i++) {
    CHECK(rig.tell(Fact::kNotified) == "");
    rig.now += kMs;
  }
  CHECK(rig.tell(Fact::kNotified) == "letgo");
}

TEST_CASE("while it is open whether it is out of memory nothing ends, and nothing is done") {
  Rig rig(plan({step(StepKind::kReclaim, 20)}, Fallback::kKillGroup));
  rig.starve();
  auto open = [&] { rig.sample.need = Need::kUnclear; };
  open();
  for (int i = 0; i < 50; i++) CHECK(rig.after(5) == "");
  CHECK(rig.machine.active());
  // Past the deadline the group is still sampled, every 10 ms.
  CHECK(rig.wakes_in() == 10 * kMs);
  SUBCASE("out of memory: at once") { CHECK(rig.starve() == "fallback"); }
  SUBCASE("fine: an end like others") {
    rig.relieve();
    CHECK(rig.look() == "");
    CHECK(rig.after(2) == "end");
    CHECK(rig.outcome() == Outcome::kRecovered);
  }
  SUBCASE("a raised limit ends it") {
    rig.sample.limit *= 2;
    CHECK(rig.look() == "end");
    CHECK(rig.outcome() == Outcome::kLimitRaised);
  }
  SUBCASE("so does a kill") {
    CHECK(rig.answer(Fact::kUserKilled, 1) == "");
    CHECK(rig.after(2) == "end");
    CHECK(rig.outcome() == Outcome::kKilled);
  }
}

TEST_CASE("if too little was freed, the next episode has what was left of the delay") {
  EpisodeConfig config = guard(100);
  config.max_delay_ns = 150 * kMs;
  Rig rig(config);
  rig.starve();
  rig.after(38);
  auto near = [&] {
    rig.sample.need = Need::kNear;
    rig.look();
    CHECK(rig.after(2) == "end");
    CHECK(rig.outcome() == Outcome::kRecovered);
    rig.after(500);
  };
  near();
  SUBCASE("after one end and another") {
    CHECK(rig.starve() == "begin");
    CHECK(rig.machine.deadline() - rig.now == 60 * kMs);
    rig.after(30);
    near();
    CHECK(rig.starve() == "begin");
    CHECK(rig.machine.deadline() - rig.now == 28 * kMs);
    // What was used counts for extend() as well.
    rig.tell(Fact::kExtend, 1000 * kMs);
    CHECK(rig.machine.deadline() - rig.now == 78 * kMs);
    CHECK(rig.after(77) == "");
    CHECK(rig.after(1) == "letgo");
  }
  SUBCASE("not if memory was freed meanwhile; sampling goes on in order to see that") {
    CHECK(rig.wakes_in() == 100 * kMs);
    rig.sample.need = Need::kFine;
    rig.look();
    CHECK(rig.next_wake() == kNever);
    rig.starve();
    CHECK(rig.machine.deadline() - rig.now == 100 * kMs);
  }
  SUBCASE("not when the delay is set: that restarts the clock") {
    rig.tell(Fact::kSetDelay, 80 * kMs);
    CHECK(rig.starve() == "begin");
    CHECK(rig.machine.deadline() - rig.now == 80 * kMs);
  }
  SUBCASE("not after another end: a raised limit, a kill") {
    rig.starve();
    SUBCASE("limit") {
      rig.sample.limit += 4096;
      CHECK(rig.look() == "end");
    }
    SUBCASE("kill") {
      rig.answer(Fact::kUserKilled, 1);
      rig.sample.need = Need::kNear;
      rig.look();
      CHECK(rig.after(2) == "end");
    }
    rig.starve();
    CHECK(rig.machine.deadline() - rig.now == 100 * kMs);
  }
  SUBCASE("not much later: that is another OOM") {
    for (int i = 0; i < 200 && rig.wakes_in() == 100 * kMs; i++) rig.after(100);
    CHECK(rig.next_wake() == kNever);
    CHECK(rig.now < 12'000 * kMs);
    CHECK(rig.starve() == "begin");
    CHECK(rig.machine.deadline() - rig.now == 100 * kMs);
  }
  SUBCASE("not longer than a delay that was set since") {
    rig.tell(Fact::kSetDelay, 10 * kMs);
    rig.starve();
    CHECK(rig.machine.deadline() - rig.now == 10 * kMs);
  }
}

TEST_CASE("open, past the deadline: a fallback that does nothing does not end it") {
  Rig rig(guard(100, Fallback::kKillGroup));
  rig.starve();
  CHECK(rig.after(100) == "fallback");
  rig.sample.need = Need::kUnclear;
  CHECK(rig.after(50) == "");
  CHECK(rig.after(49) == "");
  CHECK(rig.after(1) == "letgo");
}

TEST_CASE("those that wait though there is room are woken, not killed") {
  Rig rig(guard(100, Fallback::kKillGroup));
  rig.starve();
  rig.sample.usage = rig.sample.limit / 2;
  rig.sample.need = Need::kStranded;
  CHECK(rig.after(99) == "");
  CHECK(rig.after(1) == "letgo");
}

TEST_CASE("extend() to maxDelayMs after the start, never shorter, never past the deadline") {
  Rig rig(guard());
  int64_t start = rig.now;
  rig.starve();
  rig.tell(Fact::kExtend, 150 * kMs);
  CHECK(rig.machine.deadline() == start + 250 * kMs);
  rig.tell(Fact::kExtend, -10 * kMs);
  CHECK(rig.machine.deadline() == start + 250 * kMs);
  rig.tell(Fact::kExtend, 5'000 * kMs);
  CHECK(rig.machine.deadline() == start + 1'000 * kMs);
  rig.tell(Fact::kExtend, kNever);
  CHECK(rig.machine.deadline() == start + 1'000 * kMs);
  CHECK(rig.after(999) == "");
  CHECK(rig.after(1) == "letgo");
  rig.tell(Fact::kExtend, 100 * kMs);
  CHECK(rig.machine.phase() == EpisodeMachine::Phase::kKernel);
}

TEST_CASE("set_delay() restarts the clock in a running episode and changes it in every phase") {
  Rig rig(guard());
  rig.starve();
  rig.after(90);
  CHECK(rig.tell(Fact::kSetDelay, 50 * kMs) == "");
  CHECK(rig.machine.deadline() == rig.now + 50 * kMs);
  int64_t restarted = rig.now;
  rig.tell(Fact::kExtend, 5'000 * kMs);  // counts from the restart too
  CHECK(rig.machine.deadline() == restarted + 1'000 * kMs);
  CHECK(rig.tell(Fact::kSetDelay, 0) == "letgo end");
  CHECK(rig.outcome() == Outcome::kCancelled);
  rig.relieve();
  CHECK(rig.tell(Fact::kSetDelay, 0) == "");
  CHECK(rig.tell(Fact::kSetDelay, 10 * kMs) == "hold");
  CHECK(rig.tell(Fact::kSetDelay, 20 * kMs) == "");
  rig.starve();
  CHECK(rig.after(20) == "letgo");
  CHECK(rig.tell(Fact::kSetDelay, 0) == "letgo");  // for good now
  rig.relieve();
  CHECK(rig.after(100) == "end");
  CHECK(rig.outcome() == Outcome::kFallback);

  Rig killing(guard(100, Fallback::kKillLargest));
  killing.starve();
  CHECK(killing.after(100) == "fallback");
  CHECK(killing.tell(Fact::kSetDelay, 0) == "letgo end");
}

TEST_CASE("the guardian's deadline is taken as it is") {
  Rig rig(guard());
  rig.starve();
  rig.tell(Fact::kSetDeadline, rig.now + 7 * kMs);
  CHECK(rig.wakes_in() == 7 * kMs);
  CHECK(rig.after(7) == "letgo");
}

TEST_CASE("a raised limit ends an episode, however little, whichever process raised it") {
  Rig rig(guard());
  rig.starve();
  rig.sample.limit += 4096;
  CHECK(rig.after(5) == "end");
  CHECK(rig.outcome() == Outcome::kLimitRaised);
  CHECK(rig.machine.base_limit() == 64 * kMiB + 4096);

  rig.relieve();
  rig.sample.limit -= 8192;  // lowered when idle: no debt, no rise later
  CHECK(rig.after(100) == "");
  CHECK(rig.starve() == "begin");
  rig.sample.limit -= 4096;
  rig.sample.usage = rig.sample.limit;
  CHECK(rig.after(5) == "");
  rig.sample.limit += 4096;  // back, which is a rise
  CHECK(rig.after(5) == "end");
  CHECK(rig.outcome() == Outcome::kLimitRaised);
}

TEST_CASE("a limit raised during a killing fallback ends it too") {
  Rig rig(guard(100, Fallback::kKillLargest));
  rig.starve();
  CHECK(rig.after(100) == "fallback");
  rig.sample.limit += kMiB;
  CHECK(rig.after(5) == "end");
  CHECK(rig.outcome() == Outcome::kLimitRaised);
}

TEST_CASE("a limit raised after a kill does not take its place as the outcome") {
  Rig rig(guard());
  rig.starve();
  rig.answer(Fact::kUserKilled, 1);
  rig.sample.limit += kMiB;
  CHECK(rig.after(5) == "end");
  CHECK(rig.outcome() == Outcome::kKilled);
}

TEST_CASE("a kill clears the clock and gets time to take effect") {
  Rig rig(guard());
  rig.starve();
  rig.after(90);
  CHECK(rig.answer(Fact::kUserKilled, 1) == "");
  CHECK(rig.after(50) == "");        // past the deadline
  rig.answer(Fact::kUserKilled, 1);  // a second one does not put it off
  CHECK(rig.after(49) == "");
  CHECK(rig.after(1) == "end begin");
  CHECK(rig.outcome() == Outcome::kKilled);
  CHECK(rig.machine.end().id == 1);
  CHECK(rig.machine.id() == 2);
  CHECK(rig.machine.deadline() == rig.now + 100 * kMs);

  rig.answer(Fact::kUserKilled, 1);
  rig.relieve();
  rig.after(1);
  CHECK(rig.after(2) == "end");
  CHECK(rig.outcome() == Outcome::kKilled);

  Rig none(guard());
  none.starve();
  none.after(90);
  none.answer(Fact::kUserKilled, 0);
  CHECK(none.after(10) == "letgo");

  Rig kernel(guard());
  kernel.starve();
  kernel.sample.kills++;
  kernel.relieve();
  kernel.after(1);
  CHECK(kernel.after(2) == "end");
  CHECK(kernel.outcome() == Outcome::kKilled);
}

TEST_CASE("yield() lets the kernel decide at once") {
  Rig rig(guard());
  CHECK(rig.tell(Fact::kYield) == "");
  rig.starve();
  CHECK(rig.tell(Fact::kYield) == "letgo");
  CHECK(rig.tell(Fact::kYield) == "");
  rig.relieve();
  rig.sample.kills++;
  CHECK(rig.after(1) == "hold end");
  CHECK(rig.outcome() == Outcome::kFallback);
  CHECK(rig.machine.end().late_ns == 0);
}

TEST_CASE("the kernel keeps its killer until it has decided") {
  Rig full(guard());  // the kernel kills, but page cache keeps the group full
  full.starve();
  full.after(100);
  full.sample.need = Need::kFine;
  CHECK(full.after(90) == "");
  full.sample.kills++;
  CHECK(full.after(10) == "");
  CHECK(full.after(50) == "");
  full.sample.usage -= 4096;  // something is still coming
  CHECK(full.after(50) == "");
  CHECK(full.after(50) == "");
  CHECK(full.after(50) == "hold end");

  Rig helpless(guard());  // the kernel finds no process to kill
  helpless.starve();
  helpless.after(100);
  helpless.sample.need = Need::kFine;
  CHECK(helpless.after(1) == "");
  CHECK(helpless.after(998) == "");
  CHECK(helpless.after(1) == "hold end");

  Rig below(guard());  // the victim was in a group below, and is not counted here
  below.starve();
  below.after(100);
  below.relieve();
  CHECK(below.after(99) == "");
  CHECK(below.after(1) == "hold end");

  Rig deaf(guard());  // the write did nothing
  deaf.starve();
  CHECK(deaf.after(100) == "letgo");
  CHECK(deaf.after(4) == "");
  CHECK(deaf.after(1) == "letgo");
  CHECK(deaf.after(5'000) == "letgo");
  CHECK(deaf.machine.phase() == EpisodeMachine::Phase::kKernel);
}

TEST_CASE("a switch that failed is repeated, in the direction that is right then") {
  Rig rig(guard());
  rig.starve();
  rig.fails = true;
  CHECK(rig.after(100) == "letgo");
  rig.sample.need = Need::kFine;
  CHECK(rig.after(4) == "");
  CHECK(rig.after(1) == "letgo");
  rig.relieve();
  CHECK(rig.after(100) == "hold end");
  CHECK(rig.wakes_in() == 5 * kMs);
  rig.fails = false;
  CHECK(rig.after(5) == "hold");
  CHECK(rig.after(5) == "");
}

TEST_CASE("a killing fallback: once, with time to take effect, then the kernel") {
  Rig rig(guard(100, Fallback::kKillGroup));
  rig.starve();
  rig.now += 100 * kMs;
  CHECK(rig.look() == "fallback");
  CHECK(rig.after(50) == "");
  CHECK(rig.answer(Fact::kFallbackDone, 3) == "");
  rig.relieve();
  CHECK(rig.after(1) == "");
  CHECK(rig.after(2) == "end");
  CHECK(rig.outcome() == Outcome::kFallback);
  CHECK(rig.machine.end().late_ns == 50 * kMs);

  Rig nobody(guard(100, Fallback::kKillLargest));
  nobody.starve();
  nobody.after(100);
  CHECK(nobody.answer(Fact::kFallbackDone, 0) == "letgo");

  Rig failing(guard(100, Fallback::kKillLargest));
  failing.starve();
  failing.after(100);
  CHECK(failing.answer(Fact::kFallbackDone, 1, -5) == "letgo");

  Rig hanging(guard(100, Fallback::kKillLargest));
  hanging.starve();
  hanging.after(100);
  CHECK(hanging.after(99) == "");
  CHECK(hanging.after(1) == "letgo");
  CHECK(hanging.answer(Fact::kFallbackDone, 1) == "");  // late

  Rig useless(guard(100, Fallback::kKillLargest));  // the kill frees nothing
  useless.starve();
  useless.after(100);
  useless.after(98);
  useless.now += 2 * kMs;
  CHECK(useless.answer(Fact::kFallbackDone, 1) == "");
  CHECK(useless.after(99) == "");
  CHECK(useless.after(1) == "letgo");
}

TEST_CASE("a killing fallback that takes its time: what has helped is known when it has answered") {
  for (bool answers : {true, false}) {
    Rig rig(guard(100, Fallback::kKillLargest));
    rig.starve();
    CHECK(rig.after(100) == "fallback");
    rig.relieve();
    CHECK(rig.after(1) == "");
    CHECK(rig.after(2) == "");
    CHECK(rig.after(150) == "");
    CHECK(rig.after(800) == "");
    if (answers) {
      CHECK(rig.answer(Fact::kFallbackDone, 1) == "end");
      CHECK(rig.outcome() == Outcome::kFallback);
    } else {
      CHECK(rig.after(200) == "end");
      CHECK(rig.outcome() == Outcome::kRecovered);
    }
  }
}

TEST_CASE("the kernel kills before a killing fallback has: that is no recovery") {
  for (bool answers : {true, false}) {
    for (bool deserted : {true, false}) {
      Rig rig(guard(100, Fallback::kKillLargest));
      rig.starve();
      CHECK(rig.after(100) == "fallback");
      rig.sample.kills++;
      rig.sample.deserted = deserted;
      rig.relieve();
      CHECK(rig.after(1) == "");
      CHECK(rig.after(2) == "");
      if (answers) {
        CHECK(rig.answer(Fact::kFallbackDone, 0, -3) == "end");
      } else if (!deserted) {
        CHECK(rig.after(1100) == "end");
      } else {
        continue;
      }
      CHECK(rig.outcome() == Outcome::kKilled);
      CHECK(rig.machine.end().kernel_kills == 1);
    }
  }
}

TEST_CASE("the kernel kills before a killing fallback has, and the guard is disposed") {
  Rig rig(guard(100, Fallback::kKillLargest));
  rig.starve();
  CHECK(rig.after(100) == "fallback");
  rig.sample.kills++;
  rig.sample.usage = 0;
  rig.relieve();
  CHECK(rig.tell(Fact::kCancel) == "end");
  CHECK(rig.outcome() == Outcome::kKilled);
}

TEST_CASE("a kill by the kernel gets time to take effect as well") {
  Rig rig(guard());
  rig.starve();
  rig.after(90);
  rig.sample.kills++;
  CHECK(rig.after(1) == "");
  CHECK(rig.after(50) == "");  // past the deadline
  CHECK(rig.after(49) == "");
  CHECK(rig.after(1) == "end begin");
  CHECK(rig.outcome() == Outcome::kKilled);
}

TEST_CASE("an answer to an earlier episode's fallback is not this one's") {
  Rig rig(guard(100, Fallback::kKillLargest));
  rig.starve();
  rig.after(100);
  rig.tell(Fact::kSetDelay, 0);
  rig.relieve();
  rig.tell(Fact::kSetDelay, 100 * kMs);
  rig.starve();
  CHECK(rig.after(100) == "fallback");
  CHECK(rig.answer(Fact::kFallbackDone, 0, -5, 1) == "");
  CHECK(rig.answer(Fact::kFallbackDone, 0, -5, 2) == "letgo");
}

TEST_CASE("the plan: in order, one at a time, each when due, none after the deadline") {
  Rig rig(plan({step(StepKind::kReclaim), step(StepKind::kSignal), step(StepKind::kReclaim, 50)}));
  CHECK(rig.starve() == "begin step0");
  CHECK(rig.after(1) == "");
  CHECK(rig.answer(Fact::kStepDone, 0) == "step1");
  CHECK(rig.answer(Fact::kStepDone, 0) == "");
  rig.after(40);
  CHECK(rig.wakes_in() == 9 * kMs);
  CHECK(rig.after(9) == "step2");
  CHECK(rig.after(50) == "letgo");  // it never answered

  Rig late(plan({step(StepKind::kReclaim), step(StepKind::kReclaim, 50)}));
  late.starve();
  CHECK(late.after(120) == "letgo");
  CHECK(late.answer(Fact::kStepDone, 0) == "");
}

TEST_CASE("the outcome 'plan' needs a step that has done something") {
  struct {
    StepKind kind;
    uint32_t killed;
    int32_t result;
    Outcome outcome;
  } const table[] = {
      {StepKind::kReclaim, 0, 0, Outcome::kPlan},
      {StepKind::kReclaim, 0, -11, Outcome::kRecovered},
      {StepKind::kKillLargest, 1, 0, Outcome::kPlan},
      {StepKind::kKillLargest, 0, 0, Outcome::kRecovered},
      {StepKind::kKillNewest, 1, 0, Outcome::kPlan},
      {StepKind::kKillGroup, 4, 0, Outcome::kPlan},
      {StepKind::kFreeze, 0, 0, Outcome::kPlan},
  };
  for (const auto& row : table) {
    Rig rig(plan({step(row.kind)}));
    rig.starve();
    rig.answer(Fact::kStepDone, row.killed, row.result);
    rig.relieve();
    rig.after(1);
    CHECK(rig.after(2) == "end");
    CHECK(rig.outcome() == row.outcome);
  }
}

TEST_CASE("a step that still runs when it is over may have ended it: its answer has 20 ms") {
  Rig rig(plan({step(StepKind::kBallast)}));
  CHECK(rig.starve() == "begin step0");
  rig.now += 10 * kMs;
  rig.relieve();
  SUBCASE("it answers") {
    CHECK(rig.look() == "");
    CHECK(rig.after(19) == "");
    CHECK(rig.answer(Fact::kStepDone, 0) == "");
    CHECK(rig.look() == "end");
    CHECK(rig.outcome() == Outcome::kPlan);
  }
  SUBCASE("it does not") {
    CHECK(rig.look() == "");
    CHECK(rig.after(19) == "");
    CHECK(rig.after(1) == "end");
    CHECK(rig.outcome() == Outcome::kRecovered);
  }
  SUBCASE("not past the deadline") {
    rig.now += 85 * kMs;
    CHECK(rig.look() == "");
    CHECK(rig.after(4) == "");
    CHECK(rig.after(1) == "end");
  }
  SUBCASE("a kill is answer enough") {
    rig.answer(Fact::kUserKilled, 1);
    CHECK(rig.after(2) == "end");
    CHECK(rig.outcome() == Outcome::kKilled);
  }
}

TEST_CASE("a kill by the plan clears the clock, SIGKILL by a signal step included") {
  for (PlanStep s : {step(StepKind::kKillGroup, 60), step(StepKind::kSignal, 60, 0, 9)}) {
    Rig rig(plan({s}));
    rig.starve();
    CHECK(rig.after(60) == "step0");
    rig.answer(Fact::kStepDone, 2);
    CHECK(rig.after(99) == "");
    CHECK(rig.after(1) == "end begin");
    CHECK(rig.outcome() == Outcome::kPlan);
  }
  Rig rig(plan({step(StepKind::kSignal, 60, 0, 12)}));
  rig.starve();
  rig.after(60);
  rig.answer(Fact::kStepDone, 2);
  CHECK(rig.after(40) == "letgo");
}

TEST_CASE("the plan's 'kernel' lets the kernel decide") {
  Rig rig(plan({step(StepKind::kKernel, 10)}));
  rig.starve();
  CHECK(rig.after(10) == "step0");
  CHECK(rig.answer(Fact::kStepDone, 0) == "letgo");
  rig.relieve();
  rig.sample.kills++;
  CHECK(rig.after(5) == "hold end");
  CHECK(rig.outcome() == Outcome::kPlan);
  CHECK(rig.machine.end().late_ns == 0);
}

TEST_CASE("headroom is raised, keeps the episode while it is in use, and is restored") {
  Rig rig(plan({step(StepKind::kHeadroom, 0, 8 * kMiB), step(StepKind::kHeadroom, 0, 4 * kMiB)}));
  rig.starve();
  CHECK(rig.machine.headroom_target(0) == 72 * kMiB);
  rig.sample.limit = 72 * kMiB;
  rig.sample.need = Need::kFine;
  CHECK(rig.look() == "");  // shows before the answer: no raise
  CHECK(rig.answer(Fact::kStepDone, 0) == "step1");
  CHECK(rig.machine.headroom() == 8 * kMiB);
  CHECK(rig.machine.headroom_target(1) == 76 * kMiB);
  rig.sample.usage = 70 * kMiB;
  CHECK(rig.answer(Fact::kStepDone, 0, -12) == "");
  CHECK(rig.machine.headroom() == 8 * kMiB);
  // No task waits, but usage is above the limit without headroom.
  CHECK(rig.after(50) == "");
  rig.sample.usage = 60 * kMiB;
  CHECK(rig.after(1) == "");
  CHECK(rig.after(2) == "end");
  CHECK(rig.outcome() == Outcome::kPlan);
  CHECK(rig.machine.base_limit() == 64 * kMiB);
  rig.sample.limit = 64 * kMiB;
  rig.look();
  CHECK(rig.machine.headroom() == 0);
}

TEST_CASE("headroom whose raise was refused does not have to be restored") {
  Rig rig(plan({step(StepKind::kHeadroom, 0, 8 * kMiB)}));
  rig.starve();
  rig.answer(Fact::kStepDone, 0, -12);
  CHECK(rig.machine.headroom() == 0);
  rig.sample.limit = 72 * kMiB;  // so another process has set this limit
  CHECK(rig.after(1) == "end");
  CHECK(rig.outcome() == Outcome::kLimitRaised);
  CHECK(rig.machine.base_limit() == 72 * kMiB);

  Rig same(plan({step(StepKind::kHeadroom, 0, 8 * kMiB)}));
  same.starve();
  same.sample.limit = 70 * kMiB;
  CHECK(same.answer(Fact::kStepDone, 0, -12) == "end");
  CHECK(same.outcome() == Outcome::kLimitRaised);
}

TEST_CASE(
    "headroom that usage does not allow to restore_limit is owed, asked for, and not added to") {
  Rig rig(plan({step(StepKind::kHeadroom, 0, 8 * kMiB)}));
  rig.starve();
  rig.sample.limit = rig.sample.usage = 72 * kMiB;
  rig.sample.need = Need::kFine;
  rig.answer(Fact::kStepDone, 0);
  CHECK(rig.tell(Fact::kYield) == "letgo lower");
  CHECK(rig.after(1) == "");
  CHECK(rig.after(999) == "hold end");
  CHECK(rig.look() == "");
  CHECK(rig.after(49) == "");
  CHECK(rig.after(1) == "lower");
  CHECK(rig.after(99) == "");
  CHECK(rig.after(1) == "lower");
  rig.sample.limit = 70 * kMiB;
  CHECK(rig.starve() == "begin step0");
  CHECK(rig.machine.base_limit() == 64 * kMiB);
  CHECK(rig.machine.headroom_target(0) == 72 * kMiB);
  rig.sample.limit = 72 * kMiB;
  rig.answer(Fact::kStepDone, 0);
  rig.sample.limit = 64 * kMiB;
  rig.relieve();
  rig.after(1);
  rig.after(2);
  CHECK(rig.after(100) == "");
  CHECK(rig.next_wake() == kNever);
}

TEST_CASE("at the deadline raised headroom is lowered before any process is killed") {
  auto lent = [] {
    Rig rig(plan({step(StepKind::kHeadroom, 0, 8 * kMiB)}, Fallback::kKillLargest));
    rig.starve();
    rig.sample.limit = 72 * kMiB;
    rig.sample.usage = 70 * kMiB;
    rig.sample.need = Need::kFine;
    rig.answer(Fact::kStepDone, 0);
    CHECK(rig.after(100) == "lower");
    return rig;
  };
  Rig cache = lent();
  cache.sample.limit = cache.sample.usage = 64 * kMiB;
  cache.after(1);
  CHECK(cache.after(2) == "end");
  CHECK(cache.outcome() == Outcome::kPlan);

  Rig real = lent();
  CHECK(real.after(10) == "lower");
  CHECK(real.after(30) == "lower");
  CHECK(real.after(10) == "fallback");

  Rig waiting = lent();
  waiting.sample.limit = 70 * kMiB;
  CHECK(waiting.starve() == "fallback");
}

TEST_CASE("coming to rest now and then, past the deadline, is not flapping") {
  Rig rig(plan({step(StepKind::kHeadroom, 0, 8 * kMiB)}, Fallback::kKillLargest));
  rig.starve();
  rig.sample.limit = 72 * kMiB;
  rig.relieve();
  rig.answer(Fact::kStepDone, 0);
  rig.now += 100 * kMs;
  CHECK(rig.tell(Fact::kNotified) == "");  // not out of memory, not yet quiet
  rig.sample.usage = 70 * kMiB;
  CHECK(rig.after(1) == "lower");
  rig.sample.usage = 40 * kMiB;
  rig.now += 24 * kMs;
  CHECK(rig.tell(Fact::kNotified) == "");
  CHECK(rig.after(2) == "end");
  CHECK(rig.outcome() == Outcome::kPlan);
}

TEST_CASE("the program raises the limit while headroom is raised") {
  Rig rig(plan({step(StepKind::kHeadroom, 0, 8 * kMiB)}));
  rig.starve();
  rig.sample.limit = 72 * kMiB;
  rig.answer(Fact::kStepDone, 0);
  Input input;
  input.fact = Fact::kUserRaised;
  input.bytes = 68 * kMiB;  // within the headroom: nothing was written
  CHECK(rig.tell(input) == "end");
  CHECK(rig.outcome() == Outcome::kLimitRaised);
  CHECK(rig.machine.base_limit() == 68 * kMiB);
  CHECK(rig.machine.headroom() == 4 * kMiB);
}

TEST_CASE("if a step answers after the end, its headroom is to be restored and its kill counts") {
  Rig rig(plan({step(StepKind::kHeadroom, 0, 8 * kMiB)}));
  rig.starve();
  rig.relieve();
  rig.after(1);
  CHECK(rig.after(20) == "end");
  CHECK(rig.outcome() == Outcome::kRecovered);
  rig.sample.limit = 72 * kMiB;
  // A sample that shows the limit before the step's answer comes is not taken for another raise.
  rig.look();
  rig.answer(Fact::kStepDone, 0, 0, 1);
  CHECK(rig.machine.base_limit() == 64 * kMiB);
  CHECK(rig.machine.headroom() == 8 * kMiB);
  CHECK(rig.after(50) == "lower");

  Rig killing(plan({step(StepKind::kKillLargest)}));
  killing.starve();
  killing.relieve();
  killing.after(1);
  killing.after(20);
  CHECK(killing.starve() == "begin step0");
  killing.answer(Fact::kStepDone, 1, 0, 1);
  CHECK(killing.after(100) == "end begin step0");
  CHECK(killing.outcome() == Outcome::kPlan);
}

TEST_CASE("no limit at all is a number like others") {
  Rig rig(plan({step(StepKind::kHeadroom, 0, 8 * kMiB)}));
  rig.sample.limit = std::numeric_limits<uint64_t>::max();
  rig.look();
  rig.sample.need = Need::kStarved;
  CHECK(rig.look() == "begin step0");
  CHECK(rig.machine.headroom_target(0) > rig.machine.base_limit() / 2);
  CHECK(rig.answer(Fact::kStepDone, 0) == "");
  CHECK(rig.machine.active());
}

TEST_CASE("disposed as soon as the killed process is gone: that does not hide who ended it") {
  Rig users(guard());
  users.starve();
  users.answer(Fact::kUserKilled, 1);
  users.relieve();
  CHECK(users.tell(Fact::kCancel) == "end");
  CHECK(users.outcome() == Outcome::kKilled);

  Rig kernels(guard());
  kernels.starve();
  CHECK(kernels.after(100) == "letgo");
  kernels.relieve();
  kernels.sample.kills++;
  CHECK(kernels.tell(Fact::kCancel) == "end");
  CHECK(kernels.outcome() == Outcome::kFallback);
  CHECK(kernels.machine.end().kernel_kills == 1);

  Rig full(guard());
  full.starve();
  full.answer(Fact::kUserKilled, 1);
  CHECK(full.tell(Fact::kCancel) == "end");
  CHECK(full.outcome() == Outcome::kCancelled);
}

TEST_CASE("disposed or removed, in every phase: one end, then nothing") {
  using Phase = EpisodeMachine::Phase;
  for (Fact fact : {Fact::kCancel, Fact::kRemoved}) {
    for (Phase phase : {Phase::kIdle, Phase::kDelaying, Phase::kFallingBack, Phase::kKernel}) {
      Rig rig(guard(100, phase == Phase::kFallingBack ? Fallback::kKillGroup : Fallback::kKernel));
      if (phase != Phase::kIdle) rig.starve();
      if (phase == Phase::kFallingBack || phase == Phase::kKernel) rig.after(100);
      CHECK(rig.machine.phase() == phase);
      CHECK(rig.tell(fact) == (phase == Phase::kIdle ? "" : "end"));
      if (phase != Phase::kIdle) {
        CHECK(rig.outcome() == (fact == Fact::kCancel ? Outcome::kCancelled : Outcome::kRemoved));
      }
      CHECK(rig.next_wake() == kNever);
      CHECK(rig.starve() == "");
      CHECK(rig.tell(Fact::kSetDelay, 5 * kMs) == "");
      CHECK(rig.tell(fact) == "");
    }
  }
  Rig killed(guard());  // its removal does not hide who ended it
  killed.starve();
  killed.answer(Fact::kUserKilled, 1);
  killed.tell(Fact::kRemoved);
  CHECK(killed.outcome() == Outcome::kKilled);
}

TEST_CASE("the guardian's fallback is the episode's") {
  Rig rig(guard());
  rig.starve();
  rig.now += 150 * kMs;
  // The guardian has acted, so this process does not act again.
  CHECK(rig.tell(Fact::kGuardianActed, rig.now) == "");
  rig.relieve();
  rig.after(1);
  CHECK(rig.after(2) == "end");
  CHECK(rig.outcome() == Outcome::kGuardian);

  Rig useless(guard());
  useless.starve();
  useless.now += 150 * kMs;
  useless.tell(Fact::kGuardianActed, useless.now);
  CHECK(useless.after(99) == "");
  CHECK(useless.after(1) == "letgo");  // it may have ended between its claim and its deed

  Rig late(guard());  // this process was stopped: the kill has had its time
  late.starve();
  late.now += 350 * kMs;
  CHECK(late.tell(Fact::kGuardianActed, late.now - 100 * kMs) == "end begin");
  CHECK(late.outcome() == Outcome::kGuardian);

  Rig kernel(guard());
  kernel.starve();
  CHECK(kernel.after(100) == "letgo");
  kernel.tell(Fact::kGuardianActed, kernel.now);
  kernel.relieve();
  CHECK(kernel.after(100) == "hold end");
  CHECK(kernel.outcome() == Outcome::kGuardian);
}

TEST_CASE("a full group into which another process has let the kernel is out of memory") {
  // A guardian that leaves enables the killer: tasks that waited are on their way to a victim.
  Rig rig(guard());
  rig.starve();
  rig.now += 10 * kMs;
  rig.sample.need = Need::kFine;
  SUBCASE("full") {
    CHECK(rig.tell(Fact::kHeldAgain) == "");
    CHECK(rig.after(20) == "");
    CHECK(rig.after(20) == "");
    rig.sample.need = Need::kStarved;  // they wait again
    CHECK(rig.after(49) == "");
    CHECK(rig.after(1) == "letgo");
  }
  SUBCASE("full for longer than that takes") {
    rig.tell(Fact::kExtend, 1000 * kMs);
    CHECK(rig.tell(Fact::kHeldAgain) == "");
    CHECK(rig.after(99) == "");
    CHECK(rig.after(1) == "");
    CHECK(rig.after(2) == "end");
  }
  SUBCASE("with room") {
    rig.sample.usage /= 2;
    CHECK(rig.tell(Fact::kHeldAgain) == "");
    CHECK(rig.after(2) == "end");
  }
}

TEST_CASE("also while the killer is enabled though the group should be held") {
  // A guardian has acted, or has left within the episode.
  Rig rig(guard());
  rig.starve();
  rig.now += 90 * kMs;
  rig.sample.need = Need::kFine;
  rig.sample.let_in = true;
  SUBCASE("full") {
    CHECK(rig.look() == "");
    CHECK(rig.after(9) == "");
    CHECK(rig.after(1) == "letgo");
    // That is how it should be then.
    CHECK(rig.after(99) == "");
    rig.sample.usage /= 2;
    CHECK(rig.after(1) == "hold end");
  }
  SUBCASE("full, after the guardian's act") {
    CHECK(rig.tell(Fact::kGuardianActed, rig.now) == "");
    CHECK(rig.after(99) == "");
    CHECK(rig.after(1) == "letgo");
  }
  SUBCASE("with room") {
    rig.sample.usage /= 2;
    CHECK(rig.look() == "");
    CHECK(rig.after(2) == "end");
  }
  SUBCASE("without an episode") {
    rig.relieve();
    rig.look();
    CHECK(rig.after(2) == "end");
    rig.sample.usage = rig.sample.limit;
    CHECK(rig.look() == "");
    CHECK_FALSE(rig.machine.active());
  }
  SUBCASE("where waiting tasks do not sleep in their fault") {
    EpisodeConfig config = guard();
    config.traits.waits_in_fault = false;
    Rig v2(config);
    v2.starve();
    v2.now += 90 * kMs;
    v2.sample = rig.sample;
    CHECK(v2.look() == "");
    CHECK(v2.after(2) == "end");
  }
}

TEST_CASE("what the guardian has done in an earlier episode does not count for this one") {
  Rig rig(guard());
  rig.starve();
  rig.relieve();
  rig.after(1);
  CHECK(rig.after(2) == "end");
  rig.starve();
  CHECK(rig.answer(Fact::kGuardianActed, 1, 0, 1) == "");
  CHECK(rig.after(100) == "letgo");
}

TEST_CASE("what the sentinel has seen the end of is over for the guardian") {
  Rig rig(guard());
  rig.starve();
  CHECK(rig.after(10) == "");
  // Before it has acted: another one has begun since, and has its own time and its own kills.
  Outcome outcome = Outcome::kRecovered;
  SUBCASE("another one has begun since") { CHECK(rig.tell(Fact::kSeenOver) == "end begin"); }
  SUBCASE("after a kill") {
    rig.sample.kills++;
    CHECK(rig.tell(Fact::kSeenOver) == "end begin");
    CHECK(rig.machine.first().kills == 1);
    outcome = Outcome::kKilled;
  }
  CHECK(rig.outcome() == outcome);
  CHECK(rig.after(100) == "letgo");
  CHECK(rig.tell(Fact::kSeenOver) == "hold end begin");

  Rig kills(guard(100, Fallback::kKillGroup));
  kills.starve();
  CHECK(kills.after(100) == "fallback");
  CHECK(kills.tell(Fact::kSeenOver) == "end begin");
  CHECK(kills.outcome() == Outcome::kFallback);
}

TEST_CASE("memory that is back just when a kill counts as useless") {
  Rig rig(guard(100, Fallback::kKillGroup));
  rig.starve();
  CHECK(rig.after(100) == "fallback");
  rig.answer(Fact::kFallbackDone, 1);
  CHECK(rig.after(99) == "");
  rig.relieve();
  CHECK(rig.after(1) == "");
  CHECK(rig.after(2) == "end");
  CHECK(rig.outcome() == Outcome::kFallback);
}

TEST_CASE("memory that is back later: samples that are fine put the kernel off by 20 ms at most") {
  for (bool before : {false, true}) {
    Rig rig(guard(100, Fallback::kKillGroup));
    rig.starve();
    if (before) {
      // As they did at the deadline: each sample falls into a retry.
      rig.relieve();
      rig.now += 100 * kMs;
      for (int i = 0; i < 20; i++) {
        CHECK(rig.tell(Fact::kNotified) == "");
        rig.now += kMs;
      }
      CHECK(rig.tell(Fact::kNotified) == "fallback");
    } else {
      CHECK(rig.after(100) == "fallback");
    }
    rig.answer(Fact::kFallbackDone, 1);
    rig.starve();
    CHECK(rig.after(99) == "");
    rig.relieve();
    rig.now += 4 * kMs;
    SUBCASE("it is over") {
      CHECK(rig.look() == "");
      CHECK(rig.after(2) == "end");
      CHECK(rig.outcome() == Outcome::kFallback);
    }
    SUBCASE("it is not") {
      for (int i = 0; i < 20; i++) {
        CHECK(rig.tell(Fact::kNotified) == "");
        rig.now += kMs;
      }
      CHECK(rig.tell(Fact::kNotified) == "letgo");
    }
  }
}

TEST_CASE("when it was over: as it was first seen to be, or after the sample before the end") {
  Rig rig(guard());
  rig.starve();
  SUBCASE("fine") {
    rig.relieve();
    rig.after(5);
    CHECK(rig.after(2) == "end");
    CHECK(rig.machine.end().relieved_at == rig.now);
  }
  SUBCASE("a raised limit that is used up: what could not be read was not seen") {
    rig.after(5);
    int64_t seen_at = rig.now;
    rig.now += 10 * kMs;
    Input blind;
    blind.unreadable = true;
    CHECK(rig.tell(blind) == "");
    rig.sample.limit += kMiB;
    rig.sample.usage += kMiB;
    CHECK(rig.after(300) == "end");
    CHECK(rig.machine.end().relieved_at == seen_at);
  }
  SUBCASE("by the program") {
    rig.now += 5 * kMs;
    rig.tell(Fact::kSetDelay, 0);
    CHECK(rig.outcome() == Outcome::kCancelled);
    CHECK(rig.machine.end().relieved_at == rig.now);
  }
}

TEST_CASE("frozen members that are killed begin no episode behind the end that thaws them") {
  for (StepKind kind : {StepKind::kFreeze, StepKind::kSignal}) {
    bool frozen = kind == StepKind::kFreeze;
    Rig rig(plan({step(kind)}));
    CHECK(rig.starve() == "begin step0");
    SUBCASE("a kill") {
      rig.answer(Fact::kUserKilled, 1);
      CHECK(rig.after(100) == (frozen ? "end" : "end begin step0"));
    }
    SUBCASE("a process that was stopped") {
      rig.answer(Fact::kStepDone, 0);
      rig.relieve();
      CHECK(rig.after(1) == "");
      rig.now += 25 * kMs;
      CHECK(rig.starve() == (frozen ? "end" : "end begin step0"));
    }
    if (!frozen) continue;
    CHECK(rig.wakes_in() == 5 * kMs);
    CHECK(rig.after(5) == "begin step0");
  }
}

TEST_CASE("a dry run reports and does nothing") {
  EpisodeConfig config = plan({step(StepKind::kKillGroup)});
  config.dry_run = true;
  Rig rig(config);
  CHECK(rig.tell(Fact::kNotified) == "begin");
  CHECK(rig.tell(Fact::kYield) == "");
  rig.sample.kills++;
  CHECK(rig.after(5) == "end");
  CHECK(rig.outcome() == Outcome::kKilled);
  CHECK(rig.machine.end().kernel_kills == 1);
  CHECK(rig.tell(Fact::kNotified) == "begin");
  CHECK(rig.after(99) == "");
  CHECK(rig.after(1) == "end");
  CHECK(rig.outcome() == Outcome::kRecovered);
  CHECK(rig.tell(Fact::kSetDelay, 0) == "");
}

TEST_CASE("a dry run that sees the limit raised") {
  EpisodeConfig config = guard();
  config.dry_run = true;
  Rig rig(config);
  CHECK(rig.tell(Fact::kNotified) == "begin");
  rig.sample.limit *= 2;
  CHECK(rig.after(5) == "end");
  CHECK(rig.outcome() == Outcome::kLimitRaised);
  // It was raised for that one.
  CHECK(rig.tell(Fact::kNotified) == "begin");
  CHECK(rig.after(5) == "");
}

TEST_CASE("a dry run that samples only after the kernel's kill still counts it") {
  EpisodeConfig config = guard();
  config.dry_run = true;
  Rig rig(config);
  rig.sample.kills++;
  CHECK(rig.tell(Fact::kNotified) == "begin");
  CHECK(rig.after(1) == "end");
  CHECK(rig.outcome() == Outcome::kKilled);
  CHECK(rig.machine.end().kernel_kills == 1);
  // Kills that were counted before the guard was armed belong to no episode.
  EpisodeMachine late(config);
  Input input;
  input.fact = Fact::kNotified;
  input.sample.limit = 64 * kMiB;
  input.sample.kills = 7;
  Actions actions;
  late.step(0, input, actions);
  CHECK(late.first().kills == 7);
}

TEST_CASE("facts about an episode mean nothing when there is none") {
  Rig rig(guard());
  for (Fact fact : {Fact::kExtend, Fact::kSetDeadline, Fact::kYield, Fact::kUserKilled,
                    Fact::kStepDone, Fact::kFallbackDone}) {
    Input input;
    input.fact = fact;
    input.killed = 1;
    input.ns = 5;
    CHECK(rig.tell(input) == "");
    CHECK_FALSE(rig.machine.active());
  }
}

TEST_CASE("if no process is left, the episode ends, whatever is charged") {
  Rig rig(guard());
  rig.starve();
  rig.sample.deserted = true;
  SUBCASE("v2: no task waits") {
    rig.sample.need = Need::kFine;
    CHECK(rig.after(10) == "end");
    CHECK(rig.outcome() == Outcome::kRecovered);
  }
  SUBCASE("v1: a task that was moved away while it waited is woken by the kernel's killer") {
    CHECK(rig.after(10) == "letgo");
    rig.sample.need = Need::kFine;
    CHECK(rig.after(1) == "hold end");
    CHECK(rig.outcome() == Outcome::kRecovered);
  }
  SUBCASE("a kill has ended it") {
    rig.sample.need = Need::kFine;
    CHECK(rig.answer(Fact::kUserKilled, 1) == "end");
    CHECK(rig.outcome() == Outcome::kKilled);
  }
  CHECK(rig.machine.end().late_ns == 0);
}

TEST_CASE("if no process is left after a step has acted, the plan has ended the episode") {
  Rig rig(plan({step(StepKind::kSignal)}));
  CHECK(rig.starve() == "begin step0");
  rig.answer(Fact::kStepDone, 0);
  rig.sample.deserted = true;
  rig.sample.need = Need::kFine;
  CHECK(rig.after(10) == "end");
  CHECK(rig.outcome() == Outcome::kPlan);
}

TEST_CASE("if no process is left, headroom in use does not keep the episode") {
  Rig rig(plan({step(StepKind::kHeadroom, 0, 8 * kMiB)}));
  CHECK(rig.starve() == "begin step0");
  rig.sample.limit += 8 * kMiB;
  rig.sample.usage = rig.sample.limit - kMiB;
  rig.sample.need = Need::kFine;
  rig.answer(Fact::kStepDone, 0);
  CHECK(rig.after(10) == "");
  rig.sample.deserted = true;
  CHECK(rig.after(10) == "end");
  CHECK(rig.machine.headroom() > 0);
}

TEST_CASE("if no process is left while our killer works, the episode ends with its answer") {
  Rig rig(guard(100, Fallback::kKillGroup));
  rig.starve();
  CHECK(rig.after(100) == "fallback");
  rig.sample.deserted = true;
  rig.sample.need = Need::kFine;
  CHECK(rig.after(50) == "");
  CHECK(rig.answer(Fact::kFallbackDone, 2) == "end");
  CHECK(rig.outcome() == Outcome::kFallback);
}

TEST_CASE("if our killer finds no process left, the episode has recovered") {
  Rig rig(guard(100, Fallback::kKillGroup));
  rig.starve();
  CHECK(rig.after(100) == "fallback");
  rig.sample.deserted = true;
  CHECK(rig.answer(Fact::kFallbackDone, 0, -3) == "letgo");
  rig.sample.need = Need::kFine;
  CHECK(rig.after(1) == "hold end");
  CHECK(rig.outcome() == Outcome::kRecovered);
}

TEST_CASE("if no process is left while the kernel decides, the fallback has ended the episode") {
  Rig rig(guard());
  rig.starve();
  CHECK(rig.after(100) == "letgo");
  rig.sample.deserted = true;
  CHECK(rig.after(50) == "letgo");  // tasks still wait: once more
  rig.sample.need = Need::kFine;
  CHECK(rig.after(1) == "hold end");
  CHECK(rig.outcome() == Outcome::kFallback);
}

TEST_CASE("a sample that cannot be read counts as it was, and as out of memory in an episode") {
  Rig rig(guard());
  Input blind;
  blind.unreadable = true;
  auto look = [&](int64_t ms) {
    rig.now += ms * kMs;
    Sample known = std::exchange(rig.sample, Sample{.deserted = true});
    std::string said = rig.tell(blind);
    rig.sample = known;
    return said;
  };
  CHECK(look(1) == "");
  CHECK(rig.machine.base_limit() == 64 * kMiB);
  rig.starve();
  rig.relieve();
  SUBCASE("to the deadline") {
    CHECK(look(50) == "");
    CHECK(rig.machine.last().limit == 64 * kMiB);
    CHECK(look(49) == "");
    CHECK(look(1) == "letgo");
  }
  SUBCASE("unless another process has seen the end") {
    blind.relieved = true;
    CHECK(look(1) == "");
    CHECK(look(2) == "end");
    CHECK(rig.outcome() == Outcome::kRecovered);
  }
}

TEST_CASE("that no member was left is not known any more when nothing can be read") {
  Rig rig(guard());
  rig.starve();
  rig.sample.deserted = true;
  CHECK(rig.after(10) == "letgo");
  Input blind;
  blind.unreadable = blind.relieved = true;
  rig.now += kMs;
  CHECK(rig.tell(blind) == "");
  CHECK(rig.machine.active());
  CHECK_FALSE(rig.machine.last().deserted);
}

TEST_CASE("a headroom step that answers when nothing can be read has raised the limit") {
  Rig rig(plan({step(StepKind::kHeadroom, 0, 8 * kMiB)}));
  CHECK(rig.starve() == "begin step0");
  Input blind;
  blind.fact = Fact::kStepDone;
  blind.unreadable = true;
  CHECK(rig.tell(blind) == "");
  CHECK(rig.machine.headroom() == 8 * kMiB);
  CHECK(rig.machine.last().limit == 72 * kMiB);
  // It is no other process's when it is read.
  rig.sample.limit = 72 * kMiB;
  CHECK(rig.after(1) == "");
  CHECK(rig.machine.base_limit() == 64 * kMiB);
}

TEST_CASE("a sample that could not be read does not lower what headroom has raised") {
  Rig rig(plan({step(StepKind::kHeadroom, 0, 8 * kMiB)}));
  rig.starve();
  rig.sample.limit = 72 * kMiB;
  rig.answer(Fact::kStepDone, 0);
  Input blind;
  blind.unreadable = true;
  rig.tell(blind);
  CHECK(rig.machine.headroom() == 8 * kMiB);
  CHECK(rig.machine.last().limit == 72 * kMiB);
}

TEST_CASE("while a kill is under way it is not over: whose it was is known only then") {
  Rig rig(guard());
  rig.starve();
  rig.relieve();
  rig.sample.deserted = true;
  Input killing;
  killing.kill_under_way = true;
  CHECK(rig.tell(killing) == "");
  rig.now += 5 * kMs;
  CHECK(rig.tell(killing) == "");
  CHECK(rig.answer(Fact::kUserKilled, 1) == "end");
  CHECK(rig.outcome() == Outcome::kKilled);
}

TEST_CASE("a deserted group whose tasks are throttled has no task that waits") {
  EpisodeConfig throttled = guard();
  throttled.traits.waits_in_fault = false;
  for (bool in_fault : {true, false}) {
    Rig rig(in_fault ? guard() : throttled);
    rig.starve();
    rig.sample.deserted = true;
    CHECK(rig.look() == (in_fault ? "letgo" : "end"));
  }
}

TEST_CASE("where most notifications are no OOM, one beside a fine sample is a sample") {
  EpisodeConfig noisy = guard();
  noisy.traits.notifies_of_more = true;
  Rig rig(noisy);
  rig.tell(Fact::kNotified);
  CHECK(rig.next_wake() == kNever);
  CHECK(rig.starve() == "begin");
  Rig quiet(guard());
  quiet.tell(Fact::kNotified);
  CHECK(quiet.wakes_in() == 5 * kMs);
}

TEST_CASE("a deadline that moves makes the flapping before it count no more") {
  for (Fact moved : {Fact::kExtend, Fact::kSetDeadline, Fact::kSetDelay}) {
    Rig rig(guard());
    rig.starve();
    rig.relieve();
    // Not quiet, not caught.
    auto flap = [&](int64_t ms) {
      std::string said;
      for (int64_t i = 0; i < ms && said.empty(); i++) {
        rig.now += kMs;
        said = rig.tell(Fact::kNotified);
      }
      return said;
    };
    CHECK(flap(110) == "");
    int64_t in_40_ms = moved == Fact::kExtend     ? 50 * kMs
                       : moved == Fact::kSetDelay ? 40 * kMs
                                                  : rig.now + 40 * kMs;
    CHECK(rig.tell(moved, in_40_ms) == "");
    CHECK(flap(59) == "");
    CHECK(flap(1) == "letgo");
  }
}

TEST_CASE("what another guardian does again takes effect before the kernel is asked") {
  Rig rig(guard(100, Fallback::kKillGroup));
  rig.starve();
  CHECK(rig.after(100) == "fallback");
  CHECK(rig.tell(Fact::kGuardianActed, rig.now) == "");
  CHECK(rig.after(60) == "");
  CHECK(rig.tell(Fact::kGuardianActed, rig.now) == "");
  CHECK(rig.after(99) == "");
  // The same act is reported once more.
  CHECK(rig.tell(Fact::kGuardianActed, rig.now - 99 * kMs) == "");
  CHECK(rig.after(1) == "letgo");
}

TEST_CASE(
    "what another guardian does again before the deadline takes effect before the kernel is "
    "asked") {
  Rig rig(guard(500));
  rig.starve();
  CHECK(rig.tell(Fact::kGuardianActed, rig.now) == "");
  rig.now += 60 * kMs;
  CHECK(rig.tell(Fact::kGuardianActed, rig.now) == "");
  CHECK(rig.after(99) == "");
  CHECK(rig.after(1) == "letgo");
}

TEST_CASE("our killer's answer after another guardian's act: the fallback's outcome") {
  Rig rig(guard(100, Fallback::kKillGroup));
  rig.starve();
  CHECK(rig.after(100) == "fallback");
  rig.tell(Fact::kGuardianActed, rig.now);
  CHECK(rig.answer(Fact::kFallbackDone, 1) == "");
  rig.relieve();
  rig.after(1);
  CHECK(rig.after(2) == "end");
  CHECK(rig.outcome() == Outcome::kFallback);
}

TEST_CASE("the answer of one episode's killer is not the next one's") {
  Rig rig(guard(100, Fallback::kKillGroup));
  rig.starve();
  CHECK(rig.after(100) == "fallback");
  rig.answer(Fact::kFallbackDone, 1);
  rig.relieve();
  rig.after(1);
  CHECK(rig.after(2) == "end");
  rig.starve();
  CHECK(rig.after(100) == "fallback");
  CHECK(rig.after(1) == "");
  CHECK(rig.after(98) == "");
  CHECK(rig.after(1) == "letgo");
}

TEST_CASE("a killing fallback that has killed no process: as late as the kernel's turn is") {
  Rig rig(guard(100, Fallback::kKillLargest));
  rig.starve();
  CHECK(rig.after(100) == "fallback");
  rig.now += 7 * kMs;
  CHECK(rig.answer(Fact::kFallbackDone, 0, -3) == "letgo");
  rig.relieve();
  CHECK(rig.after(100) == "hold end");
  CHECK(rig.machine.end().late_ns == 7 * kMs);
}

TEST_CASE("one episode's flapping is not the next one's") {
  Rig rig(guard());
  rig.starve();
  rig.relieve();
  rig.now += 100 * kMs;
  CHECK(rig.tell(Fact::kNotified) == "");
  CHECK(rig.after(2) == "end");
  rig.starve();
  rig.relieve();
  rig.now += 100 * kMs;
  for (int i = 0; i < 20; i++) {
    CHECK(rig.tell(Fact::kNotified) == "");
    rig.now += kMs;
  }
  CHECK(rig.tell(Fact::kNotified) == "letgo");
}

TEST_CASE("a step's kill that is answered when the kernel has its turn: the fallback's outcome") {
  Rig rig(plan({step(StepKind::kKillLargest)}));
  CHECK(rig.starve() == "begin step0");
  CHECK(rig.after(100) == "letgo");
  CHECK(rig.answer(Fact::kStepDone, 1) == "");
  rig.relieve();
  CHECK(rig.after(100) == "hold end");
  CHECK(rig.outcome() == Outcome::kFallback);
}

TEST_CASE("an OOM that is first seen long after a fine sample is another one") {
  Rig rig(guard());
  rig.starve();
  rig.relieve();
  CHECK(rig.after(10) == "");
  rig.now += 24 * kMs;
  CHECK(rig.starve() == "");
  rig.relieve();
  CHECK(rig.look() == "");
  rig.now += 25 * kMs;
  CHECK(rig.starve() == "end begin");
  CHECK(rig.outcome() == Outcome::kRecovered);
  CHECK(rig.machine.deadline() == rig.now + 100 * kMs);
}

TEST_CASE("how late a fallback was is not the next episode's") {
  Rig rig(guard());
  rig.starve();
  CHECK(rig.after(103) == "letgo");
  rig.relieve();
  rig.sample.kills++;
  CHECK(rig.after(1) == "hold end");
  CHECK(rig.machine.end().late_ns == 3 * kMs);
  rig.starve();
  rig.relieve();
  rig.after(1);
  CHECK(rig.after(2) == "end");
  CHECK(rig.machine.end().late_ns == 0);
}

TEST_CASE("if the deadline moves, headroom has its whole 50 ms again to be lowered") {
  Rig rig(plan({step(StepKind::kHeadroom, 0, 8 * kMiB)}, Fallback::kKillLargest));
  rig.starve();
  rig.sample.limit = 72 * kMiB;
  rig.sample.usage = 70 * kMiB;
  rig.sample.need = Need::kFine;
  rig.answer(Fact::kStepDone, 0);
  CHECK(rig.after(100) == "lower");
  CHECK(rig.after(30) == "lower");
  rig.tell(Fact::kExtend, 60 * kMs);
  CHECK(rig.after(30) == "lower");
  CHECK(rig.after(49) == "lower");
  CHECK(rig.after(1) == "fallback");
}

TEST_CASE("a kill that has ended it is not hidden by the guard's end") {
  Rig rig(guard());
  rig.starve();
  rig.relieve();
  rig.sample.kills++;
  CHECK(rig.tell(Fact::kCancel) == "end");
  CHECK(rig.outcome() == Outcome::kKilled);
}

// As the hold by signals is: the limit 100, the line 84.
struct PastLine : Rig {
  static EpisodeConfig with(Fallback fallback) {
    EpisodeConfig config = guard(100, fallback);
    config.traits = {.waits_in_fault = false, .stands_past_line = true};
    return config;
  }
  explicit PastLine(Fallback fallback = Fallback::kKernel) : Rig(with(fallback)) {
    sample.limit = 100 * kMiB;
    sample.band = 16 * kMiB;
    use(50);
  }
  // As often as it is to be sampled.
  std::string pass(int64_t ms) {
    std::string said;
    for (const int64_t until = now + ms * kMs; now < until && said.empty();) {
      now = std::min(until, next_wake());
      said = look();
    }
    return said;
  }
  void use(uint64_t mib) {
    sample.usage = mib * kMiB;
    sample.need = mib >= 84 ? Need::kStarved : Need::kFine;
  }
};

TEST_CASE("where the kernel has nothing to decide past a line, the episode ends, and they go on") {
  PastLine rig;
  rig.use(86);
  CHECK(rig.after(1) == "begin");
  CHECK(rig.after(100) == "letgo");
  CHECK(rig.pass(999) == "");
  CHECK(rig.pass(1) == "end");
  CHECK(rig.outcome() == Outcome::kFallback);
  CHECK(rig.machine.standing());
  CHECK(rig.machine.grip() == Grip::kKernelsTurn);
  CHECK(rig.pass(200) == "");
  CHECK(rig.machine.next_wake() - rig.now == 10 * kMs);
  rig.use(87);
  CHECK(rig.after(10) == "");
  SUBCASE("until it has grown by an eighth of the band") {
    rig.use(88);
    CHECK(rig.after(10) == "hold begin");
    CHECK_FALSE(rig.machine.standing());
  }
  SUBCASE("until it has been below the line") {
    rig.use(80);
    CHECK(rig.after(10) == "hold");
    rig.use(84);
    CHECK(rig.after(10) == "begin");
  }
  SUBCASE("until another delay is set") {
    CHECK(rig.tell(Fact::kSetDelay, 50 * kMs) == "hold begin");
  }
  SUBCASE("until the guardian has ended one that was not seen") {
    CHECK(rig.tell(Fact::kUnseen, rig.now - 5 * kMs) == "hold begin end");
    CHECK_FALSE(rig.machine.standing());
    CHECK(rig.after(5) == "begin");
  }
  SUBCASE("until the guard ends") { CHECK(rig.tell(Fact::kCancel) == ""); }
}

TEST_CASE("a kill by the kernel past a line ends its turn, wherever that leaves the group") {
  PastLine rig;
  rig.use(86);
  rig.after(1);
  rig.after(100);
  rig.sample.kills++;
  rig.after(1);
  CHECK(rig.pass(99) == "");
  CHECK(rig.pass(1) == "end");
  CHECK(rig.machine.end().kernel_kills == 1);
  CHECK(rig.machine.standing());
}

TEST_CASE("past a line, what a fallback's kill leaves is the next episode") {
  PastLine rig(Fallback::kKillLargest);
  rig.use(90);
  rig.after(1);
  CHECK(rig.after(100) == "fallback");
  CHECK(rig.answer(Fact::kFallbackDone, 1) == "");
  rig.use(86);
  CHECK(rig.after(99) == "");
  CHECK(rig.after(1) == "end begin");
  CHECK(rig.outcome() == Outcome::kFallback);
  CHECK(rig.machine.deadline() - rig.now == 100 * kMs);
  // Nobody to be killed: nobody is kept.
  CHECK(rig.after(100) == "fallback");
  CHECK(rig.answer(Fact::kFallbackDone, 0) == "letgo");
}

TEST_CASE("a kill by the kernel before an episode past a line is that episode's") {
  PastLine rig;
  rig.after(1);
  rig.sample.kills++;
  rig.use(86);
  CHECK(rig.after(1) == "begin");
  rig.use(50);
  rig.after(1);
  CHECK(rig.after(2) == "end");
  CHECK(rig.outcome() == Outcome::kKilled);
  CHECK(rig.machine.end().kernel_kills == 1);
  // Once.
  rig.use(86);
  CHECK(rig.after(1) == "begin");
  rig.use(50);
  rig.after(1);
  CHECK(rig.after(2) == "end");
  CHECK(rig.outcome() == Outcome::kRecovered);
}

TEST_CASE("what the guardian has ended unseen is an episode that is over when it begins") {
  Rig rig(plan({step(StepKind::kReclaim)}));
  rig.after(500);
  const int64_t acted_at = rig.now - 200 * kMs;
  rig.sample.kills = 1;
  SUBCASE("the group is fine") {}
  SUBCASE("the group is out of memory again") { rig.sample.need = Need::kStarved; }
  bool again = rig.sample.starved();
  CHECK(rig.tell(Fact::kUnseen, acted_at) == "begin end");
  CHECK_FALSE(rig.machine.active());
  CHECK(rig.machine.holding());
  CHECK(rig.machine.id() == 1);
  CHECK(rig.machine.started_at() == acted_at);
  CHECK(rig.machine.deadline() == acted_at + 100 * kMs);
  const EpisodeEnd& end = rig.machine.end();
  CHECK(end.id == 1);
  CHECK(end.outcome == Outcome::kGuardian);
  CHECK(end.at == acted_at);
  CHECK(end.relieved_at == acted_at);
  CHECK(end.late_ns == 0);
  CHECK(end.kernel_kills == 1);
  // What is out of memory now is the next episode, with the whole delay.
  CHECK(rig.after(1) == (again ? "begin step0" : ""));
  if (again) CHECK(rig.machine.deadline() == rig.now + 100 * kMs);
}

TEST_CASE("samples before the report of what was unseen take no kill from it") {
  Rig rig(guard());
  rig.sample.kills = 3;
  rig.after(500);
  const int64_t acted_at = rig.now;
  rig.unseen_waits = true;
  rig.sample.kills = 4;
  for (int i = 0; i < 3; i++) CHECK(rig.after(5) == "");
  CHECK(rig.tell(Fact::kUnseen, acted_at) == "begin end");
  CHECK(rig.machine.end().kernel_kills == 1);
  // The next one's are its own.
  rig.unseen_waits = false;
  rig.after(5);
  rig.unseen_waits = true;
  rig.sample.kills = 6;
  rig.after(5);
  CHECK(rig.tell(Fact::kUnseen, rig.now) == "begin end");
  CHECK(rig.machine.end().kernel_kills == 2);
}

TEST_CASE("in an episode what the guardian has ended is never unseen") {
  Rig rig(guard());
  rig.starve();
  CHECK(rig.tell(Fact::kUnseen, rig.now) == "");
  CHECK(rig.machine.active());
  CHECK(rig.machine.id() == 1);
}
