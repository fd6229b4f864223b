// Whether an out-of-memory is over: one sample is no proof.
#include "core/rules/relief.h"

#include <doctest/doctest.h>

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int64_t kNow = 1'000 * kMs;
constexpr int64_t kQuiet = 2 * kMs;
constexpr int64_t kFlapping = 20 * kMs;

struct Rig {
  bool calm(int64_t now) { return relief.believed(now, false, false); }
  bool notified(int64_t now) { return relief.believed(now, false, true); }
  bool starved(int64_t now) { return relief.believed(now, true, false); }
  Relief relief;
};

}  // namespace

TEST_CASE("an end is believed when it has lasted for 2 ms") {
  Rig rig;
  CHECK_FALSE(rig.calm(kNow));
  CHECK_FALSE(rig.calm(kNow + kQuiet - 1));
  CHECK(rig.calm(kNow + kQuiet));
}

TEST_CASE("an end is suspected from its first sample until the group is out of memory again") {
  Rig rig;
  CHECK_FALSE(rig.relief.suspected());
  rig.calm(kNow);
  CHECK(rig.relief.suspected());
  rig.starved(kNow + 1);
  CHECK_FALSE(rig.relief.suspected());
}

TEST_CASE("a group that is out of memory again has to be quiet for the whole time again") {
  Rig rig;
  rig.calm(kNow);
  CHECK_FALSE(rig.starved(kNow + kQuiet));
  CHECK_FALSE(rig.calm(kNow + kQuiet + 1));
  CHECK_FALSE(rig.calm(kNow + 2 * kQuiet));
  CHECK(rig.calm(kNow + 2 * kQuiet + 1));
}

TEST_CASE("a notification starts the quiet time again") {
  Rig rig;
  rig.calm(kNow);
  CHECK_FALSE(rig.notified(kNow + kQuiet));
  CHECK(rig.relief.suspected());
  CHECK_FALSE(rig.calm(kNow + 2 * kQuiet - 1));
  CHECK(rig.calm(kNow + 2 * kQuiet));
}

TEST_CASE("an episode begins with no end in sight") {
  Rig rig;
  rig.calm(kNow);
  rig.relief.begin();
  CHECK_FALSE(rig.calm(kNow + kQuiet));
}

TEST_CASE("a group that is neither quiet nor out of memory for 20 ms is out of memory") {
  Relief relief;
  CHECK_FALSE(relief.flapping(kNow));
  CHECK_FALSE(relief.flapping(kNow + kFlapping - 1));
  CHECK(relief.flapping(kNow + kFlapping));
}

TEST_CASE(
    "the 20 ms begin again with a sample out of memory, another deadline, an unclear sample") {
  Relief relief;
  relief.flapping(kNow);
  SUBCASE("out of memory") { relief.not_flapping(); }
  SUBCASE("another deadline") { relief.deadline_moved(); }
  SUBCASE("unclear") { relief.unclear(); }
  CHECK_FALSE(relief.flapping(kNow + kFlapping));
  CHECK(relief.flapping(kNow + 2 * kFlapping));
}

TEST_CASE("an unclear sample is no part of an end") {
  Rig rig;
  rig.calm(kNow);
  rig.relief.unclear();
  CHECK_FALSE(rig.relief.suspected());
  CHECK_FALSE(rig.calm(kNow + kQuiet));
}
