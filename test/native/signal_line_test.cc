// Where a group is held that is held by signals, and how often it is sampled.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "core/rules/signal_line.h"

#include <doctest/doctest.h>

#include "core/sys/units.h"

using namespace oom;

namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;

}  // namespace

TEST_CASE("the default band is a 16th, with a least and a most, and at most a quarter") {
  CHECK(signals::line(kGiB, 0) == kGiB - 64 * kMiB);
  CHECK(signals::line(256 * kMiB, 0) == 224 * kMiB);
  CHECK(signals::line(64 * kMiB, 0) == 48 * kMiB);
  CHECK(signals::line(64 * kGiB, 0) == 64 * kGiB - 256 * kMiB);
  CHECK(signals::line(0, 0) == 0);
}

TEST_CASE("a band that was asked for is taken up to half of the limit, in whole pages") {
  CHECK(signals::line(64 * kMiB, 8 * kMiB) == 56 * kMiB);
  CHECK(signals::line(64 * kMiB, kGiB) == 32 * kMiB);
  CHECK(signals::line(64 * kMiB, kMiB + 1) % 65536 == 0);
  CHECK(signals::line(64 * kMiB, kMiB + 1) < 63 * kMiB);
}

TEST_CASE("without a limit there is no line, and nothing is near") {
  CHECK(signals::line(kUnlimited, 0) == kUnlimited);
  CHECK(signals::line(kUnlimited, kMiB) == kUnlimited);
  CHECK_FALSE(signals::is_near(kGiB, kUnlimited, kUnlimited));
  CHECK(signals::pause(kGiB, kUnlimited) == 500 * kMs);
}

TEST_CASE("a sample waits as long as 32 GB/s need up to the line, 1 to 500 ms") {
  CHECK(signals::pause(0, 32'000'000) == 1 * kMs);
  CHECK(signals::pause(0, 320'000'000) == 10 * kMs);
  CHECK(signals::pause(320'000'000, 640'000'000) == 10 * kMs);
  CHECK(signals::pause(0, 16'000'000'000) == 500 * kMs);
  CHECK(signals::pause(0, 64'000'000'000) == 500 * kMs);
  CHECK(signals::pause(100, 100) == 1 * kMs);
  CHECK(signals::pause(200, 100) == 1 * kMs);
}

TEST_CASE("processes are listed in advance from two bands below the line on") {
  uint64_t max = 256 * kMiB, line = 224 * kMiB;
  CHECK(signals::is_near(160 * kMiB, line, max));
  CHECK_FALSE(signals::is_near(160 * kMiB - 1, line, max));
  CHECK(signals::is_near(max, line, max));
  // A band that is wider than what is left below it.
  CHECK(signals::is_near(0, 32 * kMiB, 64 * kMiB));
}

TEST_CASE("members are listed at once when the line is crossed, and again as they appear") {
  signals::Rounds rounds;
  CHECK(rounds.due(1 * kMs, false));
  rounds.done(1 * kMs, 2 * kMs, false, false);
  CHECK_FALSE(rounds.due(2 * kMs, false));
  CHECK_FALSE(rounds.due(22 * kMs - 1, false));
  CHECK(rounds.due(22 * kMs, false));
  // The line is crossed: now.
  CHECK(rounds.due(2 * kMs, true));
  rounds.done(2 * kMs, 3 * kMs, true, true);
  CHECK(rounds.due(3 * kMs, true));
  rounds.done(3 * kMs, 4 * kMs, true, false);
  CHECK_FALSE(rounds.due(14 * kMs - 1, true));
  CHECK(rounds.due(14 * kMs, true));
  // Back below it and across again.
  rounds.done(14 * kMs, 15 * kMs, false, true);
  CHECK_FALSE(rounds.due(16 * kMs, false));
  CHECK(rounds.due(16 * kMs, true));
}

TEST_CASE("a listing that takes long comes seldom: at most a tenth of a helper's time") {
  signals::Rounds rounds;
  rounds.done(0, 8 * kMs, true, false);
  CHECK_FALSE(rounds.due(88 * kMs - 1, true));
  CHECK(rounds.due(88 * kMs, true));
}
