// The words of the public vocabulary (types/) for the core's enums. They cross the border, not the
// numbers: one that is added, taken away or moved here cannot mean another one there.
#pragma once

#include <string_view>

#include "core/prepared/mlock.h"
#include "core/rules/episode.h"
#include "core/rules/hold_line.h"
#include "core/rules/origin.h"
#include "core/sentinel/record.h"
#include "guardian/launcher.h"

namespace oom::binding {

// An enumerator without a word is an error. nullptr: no enumerator has the number.
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wswitch"

constexpr const char* word(Fallback value) {
  switch (value) {
    case Fallback::kKernel:
      return "kernel";
    case Fallback::kKillLargest:
      return "kill-largest";
    case Fallback::kKillGroup:
      return "kill-group";
    case Fallback::kKillNewest:
      return "kill-newest";
  }
  return nullptr;
}

constexpr const char* word(StepKind value) {
  switch (value) {
    case StepKind::kHeadroom:
      return "headroom";
    case StepKind::kBallast:
      return "ballast";
    case StepKind::kReclaim:
      return "reclaim";
    case StepKind::kSignal:
      return "signal";
    case StepKind::kKillLargest:
      return "kill-largest";
    case StepKind::kKillGroup:
      return "kill-group";
    case StepKind::kKernel:
      return "kernel";
    case StepKind::kFreeze:
      return "freeze";
    case StepKind::kKillNewest:
      return "kill-newest";
  }
  return nullptr;
}

constexpr const char* word(Outcome value) {
  switch (value) {
    case Outcome::kRecovered:
      return "recovered";
    case Outcome::kLimitRaised:
      return "limit-raised";
    case Outcome::kKilled:
      return "killed";
    case Outcome::kPlan:
      return "plan";
    case Outcome::kFallback:
      return "fallback";
    case Outcome::kGuardian:
      return "guardian";
    case Outcome::kRemoved:
      return "removed";
    case Outcome::kCancelled:
      return "cancelled";
  }
  return nullptr;
}

constexpr const char* word(Reason value) {
  switch (value) {
    case Reason::kOom:
      return "oom";
    case Reason::kThrash:
      return "thrash";
  }
  return nullptr;
}

constexpr const char* word(HoldBy value) {
  switch (value) {
    case HoldBy::kKernel:
      return "kernel";
    case HoldBy::kSignals:
      return "signals";
  }
  return nullptr;
}

constexpr const char* word(Who value) {
  switch (value) {
    case Who::kChildren:
      return "children";
    case Who::kMembers:
      return "members";
  }
  return nullptr;
}

constexpr const char* word(HoldFreeze value) {
  switch (value) {
    case HoldFreeze::kIfNeeded:
      return "if-needed";
    case HoldFreeze::kAlways:
      return "always";
    case HoldFreeze::kNever:
      return "never";
  }
  return nullptr;
}

constexpr const char* word(Origin value) {
  switch (value) {
    case Origin::kSelf:
      return "self";
    case Origin::kAncestor:
      return "ancestor";
    case Origin::kUnknown:
      return "unknown";
  }
  return nullptr;
}

constexpr const char* word(RecordKind value) {
  switch (value) {
    case RecordKind::kOom:
      return "oom";
    case RecordKind::kKill:
      return "kill";
    case RecordKind::kHigh:
      return "high";
    case RecordKind::kMax:
      return "max";
    case RecordKind::kRemoved:
      return "removed";
    case RecordKind::kUsage:
      return "usage";
    case RecordKind::kPressure:
      return "pressure";
    case RecordKind::kTimer:
      return "timer";
    case RecordKind::kEpisodeBegin:
      return "begin";
    case RecordKind::kEpisodeStep:
      return "step";
    case RecordKind::kPids:
      return "pids";
    case RecordKind::kEpisodeEnd:
      return "end";
    case RecordKind::kTrouble:
      return "trouble";
  }
  return nullptr;
}

constexpr const char* word(LockScope value) {
  switch (value) {
    case LockScope::kOomPath:
      return "oom-path";
    case LockScope::kProcess:
      return "process";
  }
  return nullptr;
}

constexpr const char* word(LaunchStage value) {
  switch (value) {
    case LaunchStage::kStarted:
      return "started";
    case LaunchStage::kJoin:
      return "join";
    case LaunchStage::kSetgid:
      return "setgid";
    case LaunchStage::kSetuid:
      return "setuid";
    case LaunchStage::kExec:
      return "exec";
    case LaunchStage::kScore:
      return "score";
  }
  return nullptr;
}

#pragma GCC diagnostic pop

// What a word stands for; the TypeScript side has checked that it is one.
template <class Enum>
constexpr Enum enumerator(std::string_view name) {
  for (int i = 0; word(static_cast<Enum>(i)) != nullptr; i++) {
    if (name == word(static_cast<Enum>(i))) return static_cast<Enum>(i);
  }
  return Enum{};
}

}  // namespace oom::binding
