// Whether an out-of-memory that a group's files show is the group's own.
#include "core/rules/own_oom.h"

#include <doctest/doctest.h>

#include <initializer_list>

#include "core/sys/units.h"

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int64_t kNow = 5'000 * kMs;
constexpr int64_t kPatience = 1'000 * kMs;

// A group in which tasks wait, according to its files.
struct Rig {
  Need judge(int64_t now, Need need = Need::kStarved) {
    return own.judge(
        now, need,
        [&] {
          asked_limit++;
          return at_limit;
        },
        [&] {
          asked_above++;
          return starved_above;
        });
  }

  OwnOom own{kPatience};
  bool at_limit = false, starved_above = false;
  int asked_limit = 0, asked_above = 0;
};

}  // namespace

TEST_CASE("if no task waits in a group, its sample is taken as it is, and nothing is asked") {
  Rig rig;
  for (Need need : {Need::kFine, Need::kNear, Need::kUnclear}) CHECK(rig.judge(kNow, need) == need);
  CHECK(rig.asked_limit == 0);
  CHECK(rig.asked_above == 0);
}

TEST_CASE("a group at a limit of its own is out of memory, whatever is above it") {
  Rig rig;
  rig.at_limit = rig.starved_above = true;
  CHECK(rig.judge(kNow) == Need::kStarved);
  CHECK(rig.asked_above == 0);
  CHECK_FALSE(rig.own.undecided());
}

TEST_CASE("where a group above is out of memory it is that group's episode") {
  Rig rig;
  rig.starved_above = true;
  CHECK(rig.judge(kNow) == Need::kFine);
  CHECK(rig.judge(kNow + 2 * kPatience) == Need::kFine);
  CHECK_FALSE(rig.own.undecided());
}

TEST_CASE("tasks that wait with room are on their way, until they have done so for too long") {
  Rig rig;
  CHECK(rig.judge(kNow) == Need::kFine);
  CHECK(rig.own.undecided());
  CHECK(rig.judge(kNow + kPatience - 1) == Need::kFine);
  CHECK(rig.judge(kNow + kPatience) == Need::kStranded);
  CHECK(rig.own.undecided());
}

TEST_CASE("the time for which tasks have waited with room begins again") {
  Rig rig;
  rig.judge(kNow);
  SUBCASE("after a sample at the limit") {
    rig.at_limit = true;
    rig.judge(kNow + 1);
  }
  SUBCASE("after one in which a group above was out of memory") {
    rig.starved_above = true;
    rig.judge(kNow + 1);
  }
  SUBCASE("after one in which no task waited") { rig.judge(kNow + 1, Need::kFine); }
  CHECK_FALSE(rig.own.undecided());
  rig.at_limit = rig.starved_above = false;
  CHECK(rig.judge(kNow + kPatience) == Need::kFine);
  CHECK(rig.judge(kNow + 2 * kPatience) == Need::kStranded);
}
