// The order of a v2 group's limits: what loosens first, memory.max last, nothing that is the same.
#include <doctest/doctest.h>

#include <string>

#include "core/rules/limits.h"
#include "core/sys/codes.h"
#include "core/sys/units.h"

using namespace oom;

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kMiB = 1 << 20;

std::string order(const Limits& now, const Limits& change) {
  LimitPlan plan;
  plan.count = 3;  // of an earlier change
  Status s = plan_limits_v2(now, change, kPage, plan);
  if (!s.ok()) return code::name(s.err) + std::string(" ") + s.file;
  std::string out;
  for (int i = 0; i < plan.count; i++) {
    const LimitWrite& w = plan.writes[i];
    out += std::string(out.empty() ? "" : " ") + w.file + (w.to > w.from ? "+" : "-");
  }
  return out;
}

const Limits kNow = {.max = 64 * kMiB, .high = 48 * kMiB, .swap_max = kMiB, .oom_group = false};

}  // namespace

TEST_CASE("what loosens comes first, memory.max is lowered last") {
  CHECK(order(kNow, {.max = 32 * kMiB, .high = kUnlimited}) == "memory.high+ memory.max-");
  CHECK(order(kNow, {.max = kUnlimited, .high = 0}) == "memory.max+ memory.high-");
  CHECK(order(kNow, {.max = kMiB, .high = kMiB, .swap_max = 0}) ==
        "memory.swap.max- memory.high- memory.max-");
  CHECK(order(kNow, {.oom_group = true}) == "memory.oom.group+");
}

TEST_CASE("nothing is written that stays the same; sizes are whole pages") {
  CHECK(order(kNow, kNow) == "");
  CHECK(order(kNow, {}) == "");
  CHECK(order(kNow, {.max = 64 * kMiB + 4095}) == "");
  LimitPlan plan;
  plan.count = 3;  // of an earlier change
  CHECK(plan_limits_v2(kNow, {.max = 5 * kMiB + 1}, kPage, plan).ok());
  CHECK(plan.writes[0].from == 64 * kMiB);
  CHECK(plan.writes[0].to == 5 * kMiB);
}

TEST_CASE("what the kernel has not got is refused") {
  Limits bare = kNow;
  bare.swap_max.reset();
  bare.oom_group.reset();
  CHECK(order(bare, {.max = kMiB, .swap_max = 0}) == "ERR_CGROUP_UNSUPPORTED memory.swap.max");
  CHECK(order(bare, {.oom_group = false}) == "ERR_CGROUP_UNSUPPORTED memory.oom.group");
  CHECK(order(bare, {.max = kMiB}) == "memory.max-");
}
