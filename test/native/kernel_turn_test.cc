// How long the kernel has its killer for.
#include "core/rules/kernel_turn.h"

#include <doctest/doctest.h>

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr uint64_t kUsage = 1000;
constexpr uint64_t kKillsBefore = 5;

// The kernel's turn begins at 0. Each call is one sample, `at` ns later.
struct Rig {
  Rig() {
    sample.usage = kUsage;
    sample.kills = kKillsBefore;
    turn.begin(kStart, sample);
  }
  bool decided(int64_t at, bool room = false) { return turn.decided(kStart + at, sample, room); }
  bool kill(int64_t at) {
    sample.kills++;
    return decided(at);
  }

  static constexpr int64_t kStart = 1'000 * kMs;
  Sample sample;
  KernelTurn turn;
};

}  // namespace

TEST_CASE("nothing is decided in the moment in which the kernel gets its killer") {
  Rig rig;
  rig.sample.deserted = true;
  CHECK_FALSE(rig.decided(0, true));
  CHECK(rig.decided(1, true));
}

TEST_CASE("nothing is decided while tasks wait, however long they do") {
  Rig rig;
  rig.sample.need = Need::kStarved;
  rig.sample.deserted = true;
  CHECK_FALSE(rig.kill(10 * kMs));
  CHECK_FALSE(rig.decided(5'000 * kMs, true));
  rig.sample.need = Need::kUnclear;
  CHECK(rig.decided(5'000 * kMs));
}

TEST_CASE("a first sample that comes late counts from there, in each turn") {
  Rig rig;
  CHECK_FALSE(rig.decided(300 * kMs, true));
  CHECK(rig.decided(400 * kMs, true));
  rig.turn.begin(Rig::kStart + 1'000 * kMs, rig.sample);
  CHECK_FALSE(rig.decided(1'300 * kMs, true));
  CHECK_FALSE(rig.decided(1'399 * kMs, true));
  CHECK(rig.decided(1'400 * kMs, true));
}

TEST_CASE("if no process is left, there is nothing to wait for") {
  Rig rig;
  CHECK_FALSE(rig.decided(1));
  rig.sample.deserted = true;
  CHECK(rig.decided(1));
}

TEST_CASE("room alone is believed after 100 ms, since the kernel may still kill") {
  Rig rig;
  CHECK_FALSE(rig.decided(100 * kMs - 1, true));
  CHECK_FALSE(rig.decided(100 * kMs));
  CHECK(rig.decided(100 * kMs, true));
}

TEST_CASE("if the driver was stopped before it let the kernel in, the time counts from then on") {
  Rig rig;
  CHECK_FALSE(rig.decided(0));
  // Only then does the kernel have its killer.
  CHECK_FALSE(rig.decided(270 * kMs));
  CHECK_FALSE(rig.decided(271 * kMs, true));
  CHECK_FALSE(rig.decided(370 * kMs - 1, true));
  CHECK(rig.decided(370 * kMs, true));
}

TEST_CASE("room after a kill is believed at once") {
  Rig rig;
  CHECK_FALSE(rig.kill(10 * kMs));
  CHECK(rig.decided(10 * kMs, true));
}

TEST_CASE("only what is killed in its turn is the kernel's kill") {
  Rig rig;
  rig.decided(kMs);
  CHECK_FALSE(rig.turn.killed());
  rig.kill(2 * kMs);
  CHECK(rig.turn.killed());
  rig.turn.begin(Rig::kStart, rig.sample);
  CHECK_FALSE(rig.turn.killed());
  rig.decided(kMs);
  CHECK_FALSE(rig.turn.killed());
}

TEST_CASE("a kill of which nothing comes for 100 ms is all there is") {
  Rig rig;
  rig.kill(10 * kMs);
  CHECK_FALSE(rig.decided(110 * kMs - 1));
  CHECK(rig.decided(110 * kMs));
}

TEST_CASE("another kill is waited for in its turn") {
  Rig rig;
  rig.kill(10 * kMs);
  rig.kill(60 * kMs);
  CHECK_FALSE(rig.decided(160 * kMs - 1));
  CHECK(rig.decided(160 * kMs));
}

TEST_CASE("while memory comes back there is more to come") {
  Rig rig;
  rig.kill(10 * kMs);
  rig.sample.usage = kUsage - 1;
  CHECK_FALSE(rig.decided(60 * kMs));
  CHECK_FALSE(rig.decided(160 * kMs - 1));
  CHECK(rig.decided(160 * kMs));
}

TEST_CASE("memory that is used again and freed again has not come back") {
  Rig rig;
  rig.kill(10 * kMs);
  rig.sample.usage = kUsage + 10;
  CHECK_FALSE(rig.decided(50 * kMs));
  rig.sample.usage = kUsage;
  CHECK_FALSE(rig.decided(90 * kMs));
  CHECK(rig.decided(110 * kMs));
}

TEST_CASE("without room and without a kill the kernel has one second") {
  Rig rig;
  CHECK_FALSE(rig.decided(1 * kMs));
  CHECK_FALSE(rig.decided(1'000 * kMs - 1));
  CHECK(rig.decided(1'000 * kMs));
}
