// Failures that are this library's own and no system call's: Status.err below the range of errno
// (errno(3) ends at 4095). The names are the codes that JavaScript sees; the texts are in
// lib/base/errors.ts.
#pragma once

#include "core/sys/status.h"

namespace oom::code {

// Each following one is one less.
inline constexpr int kFirst = -5001;
inline constexpr int kNotAMemoryCgroup = kFirst;
inline constexpr int kCgroupUnsupported = -5002;
inline constexpr int kRootGroup = -5003;
inline constexpr int kSelfInGroup = -5004;
inline constexpr int kNoFreezer = -5005;
inline constexpr int kKillerDisabled = -5006;
inline constexpr int kPlanNeeded = -5007;
inline constexpr int kPressureWatch = -5008;
inline constexpr int kUnreadableMark = -5009;
inline constexpr int kUnseenMembers = -5010;
inline constexpr int kInitInGroup = -5011;
inline constexpr int kNoLimit = -5012;

// The literal of an own code; nullptr for an errno.
constexpr const char* name(int err) {
  switch (err) {
    case kNotAMemoryCgroup:
      return "ERR_NOT_A_MEMORY_CGROUP";
    case kCgroupUnsupported:
      return "ERR_CGROUP_UNSUPPORTED";
    case kRootGroup:
      return "ERR_ROOT_GROUP";
    case kSelfInGroup:
      return "ERR_SELF_IN_GROUP";
    case kNoFreezer:
      return "ERR_NO_FREEZER";
    case kKillerDisabled:
      return "ERR_KILLER_DISABLED";
    case kPlanNeeded:
      return "ERR_PLAN_NEEDED";
    case kPressureWatch:
      return "ERR_PRESSURE_WATCH";
    case kUnreadableMark:
      return "ERR_UNREADABLE_MARK";
    case kUnseenMembers:
      return "ERR_UNSEEN_MEMBERS";
    case kInitInGroup:
      return "ERR_INIT_IN_GROUP";
    case kNoLimit:
      return "ERR_NO_LIMIT";
    default:
      return nullptr;
  }
}

// An own failure; `file` is what was missing or in the way, where there is one.
inline Status fail(int err, const char* file = nullptr) { return Status::of(err, nullptr, file); }

}  // namespace oom::code
