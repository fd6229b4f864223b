// What the files of a group show at one moment.
#include "core/rules/sample.h"

#include <doctest/doctest.h>

#include <initializer_list>

#include "core/sys/units.h"

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kLimit = 64 * kMiB;

Sample using_bytes(uint64_t usage) {
  Sample s;
  s.usage = usage;
  return s;
}

}  // namespace

TEST_CASE("a group whose tasks wait is out of memory, with room or without") {
  Sample s;
  for (Need need : {Need::kFine, Need::kNear, Need::kUnclear}) {
    s.need = need;
    CHECK_FALSE(s.starved());
  }
  for (Need need : {Need::kStarved, Need::kStranded}) {
    s.need = need;
    CHECK(s.starved());
  }
}

TEST_CASE("a group is full from one batch of charges below its limit") {
  CHECK(full(using_bytes(kLimit - kChargeBatch), kLimit));
  CHECK_FALSE(full(using_bytes(kLimit - kChargeBatch - 1), kLimit));
}

TEST_CASE("the band that it is held by counts as used, what can be reclaimed does not") {
  Sample s = using_bytes(kLimit - kChargeBatch - kMiB);
  CHECK_FALSE(full(s, kLimit));
  s.band = kMiB;
  CHECK(full(s, kLimit));
  s.reclaimable = 1;
  CHECK_FALSE(full(s, kLimit));
}

TEST_CASE("if counters show more to reclaim than is used, nothing counts as used") {
  Sample s = using_bytes(kMiB);
  s.reclaimable = kMiB + 1;
  CHECK_FALSE(full(s, kLimit));
}

TEST_CASE("a sum beyond the largest number is the largest number") {
  CHECK(saturating_add(UINT64_MAX - 1, 1) == UINT64_MAX);
  CHECK(saturating_add(UINT64_MAX, 1) == UINT64_MAX);
  CHECK(saturating_add(2, 3) == 5);
  Sample s = using_bytes(kMiB);
  s.band = kUnlimited;
  CHECK(full(s, kUnlimited));
}
