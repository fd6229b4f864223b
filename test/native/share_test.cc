// A threshold in bytes, and as a share of a limit that changes.
#include "core/rules/share.h"

#include <doctest/doctest.h>

#include <climits>

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr UsageThreshold share(uint32_t millionths) { return {.millionths = millionths}; }

}  // namespace

TEST_CASE("bytes stay what they are, whatever the limit is") {
  CHECK(threshold_at({.bytes = 4711}, 0) == 4711);
  CHECK(threshold_at({.bytes = 4711}, kUnlimited) == 4711);
}

TEST_CASE("a share is of the limit as it is, rounded down") {
  CHECK(threshold_at(share(800'000), 1000) == 800);
  CHECK(threshold_at(share(800'000), 64 << 20) == 53'687'091);
  CHECK(threshold_at(share(975'000), 1'000'000) == 975'000);
  CHECK(threshold_at(share(10), 1'099'999) == 10);
  CHECK(threshold_at(share(1'000'000), 12'345'678'901) == 12'345'678'901);
  CHECK(threshold_at(share(800'000), 0) == 0);
  // The largest that is a limit.
  constexpr uint64_t kMost = (uint64_t{1} << 62) - 1;
  CHECK(threshold_at(share(1'000'000), kMost) == kMost);
  CHECK(threshold_at(share(500'000), kMost) == kMost / 2);
}

TEST_CASE("there is no share of no limit, as v2 and v1 write it") {
  CHECK_FALSE(is_limit(kUnlimited));
  CHECK_FALSE(is_limit(LONG_MAX / 4096 * 4096));
  CHECK_FALSE(is_limit(uint64_t{1} << 62));
  CHECK(threshold_at(share(1), kUnlimited) == kUnlimited);
  CHECK(threshold_at(share(800'000), LONG_MAX / 4096 * 4096) == kUnlimited);
}
