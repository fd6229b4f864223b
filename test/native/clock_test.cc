// The deadline of an episode, and what an episode leaves of its delay to the next one.
#include "core/rules/clock.h"

#include <doctest/doctest.h>

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int64_t kStart = 1'000 * kMs;
constexpr int64_t kDelay = 100 * kMs;
constexpr int64_t kMost = 150 * kMs;
constexpr int64_t kLater = kStart + 5'000 * kMs;

Clock started() {
  Clock clock;
  clock.start(kStart, kDelay);
  return clock;
}

// Its first episode ended next to the line.
Clock left(int64_t at) {
  Clock clock = started();
  clock.leave_rest(at);
  return clock;
}

}  // namespace

TEST_CASE("an episode is over at its deadline, not before") {
  Clock clock = started();
  CHECK(clock.deadline() == kStart + kDelay);
  CHECK_FALSE(clock.over(kStart + kDelay - 1));
  CHECK(clock.over(kStart + kDelay));
}

TEST_CASE("another delay counts from when it was set") {
  Clock clock = started();
  clock.restart(kStart + 60 * kMs, 50 * kMs);
  CHECK(clock.deadline() == kStart + 110 * kMs);
}

TEST_CASE("a deadline is extended up to the most, and no further") {
  Clock clock = started();
  CHECK(clock.extend(20 * kMs, kMost));
  CHECK(clock.deadline() == kStart + 120 * kMs);
  CHECK(clock.extend(29 * kMs, kMost));
  CHECK(clock.extend(20 * kMs, kMost));
  CHECK(clock.deadline() == kStart + kMost);
  CHECK_FALSE(clock.extend(1, kMost));
  CHECK(clock.deadline() == kStart + kMost);
}

TEST_CASE("the longest extension there is reaches the most as well") {
  Clock clock = started();
  CHECK(clock.extend(kNever, kMost));
  CHECK(clock.deadline() == kStart + kMost);
}

TEST_CASE("a most that is passed already does not move the deadline back") {
  Clock clock = started();
  CHECK_FALSE(clock.extend(kMs, kDelay / 2));
  CHECK(clock.deadline() == kStart + kDelay);
}

TEST_CASE("the most counts from the last delay that was set") {
  Clock clock = started();
  clock.restart(kStart + 60 * kMs, kDelay);
  CHECK(clock.extend(kNever, kMost));
  CHECK(clock.deadline() == kStart + 60 * kMs + kMost);
}

TEST_CASE("a deadline that is followed may move either way") {
  Clock clock = started();
  clock.follow(kStart + 10 * kMs);
  CHECK(clock.deadline() == kStart + 10 * kMs);
  clock.follow(kStart + 200 * kMs);
  CHECK(clock.deadline() == kStart + 200 * kMs);
}

TEST_CASE("an episode has what the one before has left of its delay, and the next one all of it") {
  Clock clock = left(kStart + 30 * kMs);
  CHECK(clock.has_rest());
  clock.start(kLater, kDelay);
  CHECK(clock.deadline() == kLater + 70 * kMs);
  CHECK_FALSE(clock.has_rest());
  clock.start(kLater, kDelay);
  CHECK(clock.deadline() == kLater + kDelay);
}

TEST_CASE("no episode has more than its delay") {
  Clock clock = left(kStart + 30 * kMs);
  clock.start(kLater, 10 * kMs);
  CHECK(clock.deadline() == kLater + 10 * kMs);
}

TEST_CASE("an episode that ended past its deadline leaves no time") {
  Clock clock = left(kStart + kDelay + 7 * kMs);
  clock.start(kLater, kDelay);
  CHECK(clock.deadline() == kLater);
}

TEST_CASE("what the episode before has used counts against the most") {
  Clock clock = left(kStart + 30 * kMs);
  clock.start(kLater, kDelay);
  CHECK(clock.extend(kNever, kMost));
  CHECK(clock.deadline() == kLater + kMost - 30 * kMs);
}

TEST_CASE("where no rest is left, nothing has been used") {
  Clock clock = left(kStart + 30 * kMs);
  clock.forget_rest();
  clock.start(kLater, kDelay);
  CHECK(clock.deadline() == kLater + kDelay);
  CHECK(clock.extend(kNever, kMost));
  CHECK(clock.deadline() == kLater + kMost);
}

TEST_CASE("a rest is kept for ten seconds") {
  Clock clock = left(kStart + 30 * kMs);
  clock.expire_rest(kStart + 10'030 * kMs - 1);
  CHECK(clock.has_rest());
  clock.expire_rest(kStart + 10'030 * kMs);
  CHECK_FALSE(clock.has_rest());
}

TEST_CASE("another delay leaves no rest of the old one") {
  Clock clock = left(kStart + 30 * kMs);
  clock.restart(kLater, kDelay);
  CHECK_FALSE(clock.has_rest());
}
