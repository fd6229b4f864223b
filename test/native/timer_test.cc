// Points in time, and the one at which the first kill of an episode was seen.
#include "core/rules/timer.h"

#include <doctest/doctest.h>

#include "core/rules/kill_seen.h"

using namespace oom;  // NOLINT(google-build-using-namespace)

TEST_CASE("a timer fires at its time, until it is stopped") {
  Timer timer;
  CHECK_FALSE(timer.runs());
  CHECK_FALSE(timer.fired(kNever - 1));
  CHECK(timer.at() == kNever);
  timer.start(5);
  CHECK(timer.runs());
  CHECK(timer.at() == 5);
  CHECK_FALSE(timer.fired(4));
  CHECK(timer.fired(5));
  timer.stop();
  CHECK_FALSE(timer.runs());
  CHECK_FALSE(timer.fired(5));
}

TEST_CASE("a timer that is started again has the new time") {
  Timer timer;
  timer.start(5);
  timer.start(9);
  CHECK_FALSE(timer.fired(8));
}

TEST_CASE("what has held since a time has lasted from then on") {
  Since since;
  CHECK_FALSE(since.runs());
  CHECK_FALSE(since.lasted(kNever, 0));
  since.start(5);
  CHECK(since.runs());
  CHECK(since.lasted(5, 0));
  CHECK_FALSE(since.lasted(14, 10));
  CHECK(since.lasted(15, 10));
  since.stop();
  CHECK_FALSE(since.runs());
  CHECK_FALSE(since.lasted(15, 10));
}

TEST_CASE("a second start keeps the earlier time, a restart does not") {
  Since since;
  since.start(5);
  since.start(9);
  CHECK(since.lasted(15, 10));
  since.restart(9);
  CHECK_FALSE(since.lasted(18, 10));
  CHECK(since.lasted(19, 10));
}

TEST_CASE("a kill takes effect after 100 ms, and no kill never does") {
  KillSeen kill;
  CHECK_FALSE(kill);
  CHECK_FALSE(kill.took_effect(1'000 * kMs));
  kill.note(50 * kMs);
  CHECK(kill);
  CHECK(kill.at() == 50 * kMs);
  CHECK_FALSE(kill.took_effect(150 * kMs - 1));
  CHECK(kill.took_effect(150 * kMs));
  kill.forget();
  CHECK_FALSE(kill);
  CHECK_FALSE(kill.took_effect(150 * kMs));
}

TEST_CASE("a kill that is noted again takes effect later") {
  KillSeen kill;
  kill.note(50 * kMs);
  kill.note(60 * kMs);
  CHECK(kill.at() == 60 * kMs);
  CHECK_FALSE(kill.took_effect(150 * kMs));
}
