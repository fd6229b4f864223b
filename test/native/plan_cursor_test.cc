// Where an episode is in its plan.
#include "core/rules/plan_cursor.h"

#include <doctest/doctest.h>

#include "core/sys/units.h"

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int64_t kStart = 1'000 * kMs;
constexpr int64_t kSecond = kStart + 10 * kMs;

// One step at once, two after 10 ms.
EpisodeConfig three_steps() {
  EpisodeConfig config;
  config.plan_size = 3;
  config.plan[0] = {.kind = StepKind::kReclaim};
  config.plan[1] = {.after_ns = 10 * kMs, .kind = StepKind::kHeadroom};
  config.plan[2] = {.after_ns = 10 * kMs, .kind = StepKind::kKernel};
  return config;
}

struct Rig {
  Rig() { plan.begin(kStart); }
  bool due(int64_t now) const { return plan.due(now, config); }
  int64_t next_due() const { return plan.next_due(config); }
  void run_step() {
    plan.start();
    plan.done();
  }

  EpisodeConfig config = three_steps();
  PlanCursor plan;
};

}  // namespace

TEST_CASE("a step is due when its time since the episode's start has come") {
  Rig rig;
  CHECK(rig.next_due() == kStart);
  CHECK_FALSE(rig.due(kStart - 1));
  CHECK(rig.due(kStart));
  rig.run_step();
  CHECK(rig.next_due() == kSecond);
  CHECK_FALSE(rig.due(kSecond - 1));
  CHECK(rig.due(kSecond));
}

TEST_CASE("one step runs at a time") {
  Rig rig;
  CHECK_FALSE(rig.plan.running());
  rig.plan.start();
  CHECK(rig.plan.running());
  CHECK_FALSE(rig.due(kSecond));
  CHECK(rig.next_due() == kNever);
  rig.plan.done();
  CHECK_FALSE(rig.plan.running());
  CHECK(rig.due(kSecond));
}

TEST_CASE("the steps run in their order, and the last one that was started is the present one") {
  Rig rig;
  for (uint8_t i = 0; i < 3; i++) {
    CHECK(rig.plan.start() == i);
    CHECK(rig.plan.step(rig.config).kind == rig.config.plan[i].kind);
    rig.plan.done();
    CHECK(rig.plan.step(rig.config).kind == rig.config.plan[i].kind);
  }
}

TEST_CASE("which kinds of step have been started") {
  Rig rig;
  rig.run_step();
  rig.plan.start();
  CHECK(rig.plan.started(StepKind::kReclaim, rig.config));
  CHECK(rig.plan.started(StepKind::kHeadroom, rig.config));
  CHECK_FALSE(rig.plan.started(StepKind::kKernel, rig.config));
}

TEST_CASE("after the last step none is due") {
  Rig rig;
  rig.run_step();
  rig.run_step();
  CHECK(rig.due(kSecond));
  rig.run_step();
  CHECK_FALSE(rig.due(kSecond));
  CHECK(rig.next_due() == kNever);
}

TEST_CASE("a step that still runs at an episode's end is not waited for in the next one") {
  Rig rig;
  rig.plan.start();
  rig.plan.end();
  CHECK_FALSE(rig.plan.running());
}

TEST_CASE("each episode begins with the first step, and no effect of a step") {
  Rig rig;
  CHECK_FALSE(rig.plan.acted());
  rig.run_step();
  CHECK_FALSE(rig.plan.acted());
  rig.plan.note_effect();
  CHECK(rig.plan.acted());
  rig.plan.end();
  CHECK(rig.plan.acted());
  rig.plan.begin(kStart + kMs);
  CHECK_FALSE(rig.plan.acted());
  CHECK(rig.next_due() == kStart + kMs);
  CHECK(rig.plan.start() == 0);
}
