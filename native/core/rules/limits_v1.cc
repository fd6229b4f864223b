// Which of a v1 group's two limits is written first. Pure.
#include "core/rules/limits.h"
#include "core/sys/codes.h"
#include "core/sys/units.h"

namespace oom {

namespace {

constexpr const char* kLimit = "memory.limit_in_bytes";
constexpr const char* kMemsw = "memory.memsw.limit_in_bytes";

uint64_t sum(uint64_t a, uint64_t b) {
  return a == kUnlimited || b == kUnlimited || a > INT64_MAX || b > INT64_MAX ? kUnlimited : a + b;
}

}  // namespace

uint64_t whole_pages(uint64_t bytes, uint64_t page) {
  return bytes == kUnlimited ? bytes : bytes - bytes % page;
}

Status plan_limits(const LimitsV1& now, const Limits& change, uint64_t page, LimitPlan& plan) {
  const uint64_t max = whole_pages(change.max.value_or(now.max), page);
  plan.count = 0;
  auto add = [&](const char* file, uint64_t from, uint64_t to) {
    if (from != to) plan.writes[plan.count++] = {file, from, to};
  };
  if (!now.memsw) {
    if (change.swap_max) return code::fail(code::kCgroupUnsupported, kMemsw);
    add(kLimit, now.max, max);
    return Status::success();
  }
  // Unless `change` sets the swap limit it stays as it is: memsw moves with the limit.
  const uint64_t swap_now = *now.memsw == kUnlimited ? kUnlimited : *now.memsw - now.max;
  const uint64_t swap = whole_pages(change.swap_max.value_or(swap_now), page);
  if (change.swap_max && swap != kUnlimited && max == kUnlimited) {
    return code::fail(code::kCgroupUnsupported, kMemsw);
  }
  const uint64_t memsw = sum(max, swap);
  if (memsw > *now.memsw) add(kMemsw, *now.memsw, memsw);
  add(kLimit, now.max, max);
  if (memsw < *now.memsw) add(kMemsw, *now.memsw, memsw);
  return Status::success();
}

}  // namespace oom
