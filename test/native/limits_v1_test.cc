// The order of the two v1 limits, against a model of the kernel's rule: limit_in_bytes may at no
// time be above memsw.limit_in_bytes.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstring>

#include "core/rules/limits.h"
#include "core/sys/codes.h"
#include "core/sys/units.h"

using namespace oom;

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kSizes[] = {0, 4096, 8192, 65536, 1 << 20, uint64_t{1} << 40, kUnlimited};

// Applies the plan as the kernel would; false if it would return EINVAL.
bool apply(LimitsV1& at, const LimitPlan& plan) {
  for (int i = 0; i < plan.count; i++) {
    const LimitWrite& write = plan.writes[i];
    const bool memsw = strcmp(write.file, "memory.memsw.limit_in_bytes") == 0;
    if (!memsw && strcmp(write.file, "memory.limit_in_bytes") != 0) return false;
    if (memsw && !at.memsw) return false;
    if (write.from != (memsw ? *at.memsw : at.max)) return false;
    if (memsw) {
      at.memsw = write.to;
    } else {
      at.max = write.to;
    }
    if (at.memsw && at.max > *at.memsw) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("every change between any two states is one that the kernel accepts") {
  for (uint64_t max : kSizes) {
    for (uint64_t memsw : kSizes) {
      if (memsw < max) continue;
      for (uint64_t new_max : kSizes) {
        for (uint64_t swap : kSizes) {
          for (int given = 0; given < 4; given++) {
            Limits change;
            if (given & 1) change.max = new_max;
            if (given & 2) change.swap_max = swap;
            LimitsV1 at{max, memsw};
            LimitPlan plan;
            CAPTURE(max);
            CAPTURE(memsw);
            CAPTURE(new_max);
            CAPTURE(swap);
            CAPTURE(given);
            const uint64_t want = given & 1 ? new_max : max;
            Status s = plan_limits(at, change, kPage, plan);
            if ((given & 2) && want == kUnlimited && swap != kUnlimited) {
              CHECK(s.err == code::kCgroupUnsupported);
              continue;
            }
            REQUIRE(s.ok());
            REQUIRE(apply(at, plan));
            CHECK(at.max == want);
            const uint64_t swap_before = memsw == kUnlimited ? kUnlimited : memsw - max;
            const uint64_t want_swap = given & 2 ? swap : swap_before;
            CHECK(*at.memsw ==
                  (want == kUnlimited || want_swap == kUnlimited ? kUnlimited : want + want_swap));
          }
        }
      }
    }
  }
}

TEST_CASE("without swap accounting there is one limit") {
  LimitsV1 at{kUnlimited, {}};
  LimitPlan plan;
  Limits change;
  change.max = 8195;
  REQUIRE(plan_limits(at, change, kPage, plan).ok());
  REQUIRE(apply(at, plan));
  CHECK(at.max == 8192);
  change.swap_max = 0;
  CHECK(plan_limits(at, change, kPage, plan).err == code::kCgroupUnsupported);
}

TEST_CASE("what is so already is not written") {
  LimitPlan plan;
  plan.count = 1;  // of an earlier change
  Limits change;
  change.max = 8192 + 100;
  change.swap_max = 4096;
  REQUIRE(plan_limits({8192, 12288}, change, kPage, plan).ok());
  CHECK(plan.count == 0);
}
