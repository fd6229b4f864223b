// In which order a v2 group's limits are written. Pure.
#include "core/rules/limits.h"
#include "core/sys/codes.h"
#include "core/sys/units.h"

namespace oom {

namespace {

constexpr const char* kMax = "memory.max";
constexpr const char* kHigh = "memory.high";
constexpr const char* kSwapMax = "memory.swap.max";
constexpr const char* kOomGroup = "memory.oom.group";

}  // namespace

Status plan_limits_v2(const Limits& now, const Limits& change, uint64_t page, LimitPlan& plan) {
  plan.count = 0;
  if (change.oom_group) {
    if (!now.oom_group) return code::fail(code::kCgroupUnsupported, kOomGroup);
    if (*change.oom_group != *now.oom_group) {
      plan.writes[plan.count++] = {kOomGroup, *now.oom_group, *change.oom_group};
    }
  }
  struct Size {
    const char* file;
    const std::optional<uint64_t>& from;
    const std::optional<uint64_t>& to;
  };
  const Size sizes[] = {{kSwapMax, now.swap_max, change.swap_max},
                        {kHigh, now.high, change.high},
                        {kMax, now.max, change.max}};
  for (const Size& size : sizes) {
    if (size.to && !size.from) return code::fail(code::kCgroupUnsupported, size.file);
  }
  for (bool looser : {true, false}) {
    for (const Size& size : sizes) {
      if (!size.to) continue;
      const uint64_t to = whole_pages(*size.to, page);
      if (to == *size.from || (to > *size.from) != looser) continue;
      plan.writes[plan.count++] = {size.file, *size.from, to};
    }
  }
  return Status::success();
}

}  // namespace oom
