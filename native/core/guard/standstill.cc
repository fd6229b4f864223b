#include "core/guard/standstill.h"

#include <cerrno>

#include "core/sys/units.h"

namespace oom {
namespace {

constexpr int64_t kThawAgain = 10 * kMs;

}  // namespace

bool Standstill::freeze_by_plan(int64_t now) {
  wanted_ = true;
  publish();
  return jobs_.start(JobPurpose::kStep, now, {.kind = JobKind::kFreeze});
}

void Standstill::update(int64_t now) {
  const Sample& sample = machine_.last();
  if (machine_.phase() != EpisodeMachine::Phase::kDelaying || machine_.config().dry_run) return;
  if (hold_.must_freeze(sample, now, machine_.deadline())) {
    if (wanted_ || jobs_.busy(JobPurpose::kStop)) return;
    wanted_ = by_hold_ = true;
    publish();
    jobs_.start(JobPurpose::kStop, now, {.kind = JobKind::kFreeze});
  } else if (by_hold_ && !sample.starved()) {
    thaw(now);
  }
}

void Standstill::thaw(int64_t now) {
  wanted_ = by_hold_ = false;
  retry_.stop();
  if (!freezer_.frozen()) return;  // a freeze that is under way is undone when it has answered
  if (!jobs_.start(JobPurpose::kThaw, now, {.kind = JobKind::kThaw})) {
    retry_.start(now + kThawAgain);
  }
}

bool Standstill::freeze_answered(int64_t now, int result) {
  // Overtaken by the end, or by a kill.
  if (!wanted_) thaw(now);
  return wanted_ && result == 0;
}

void Standstill::thaw_answered(int64_t now, int result) {
  if (freezer_.frozen() && !wanted_ && result != -ENODEV) {
    retry_.start(now + kThawAgain);
  } else {
    retry_.stop();
  }
}

}  // namespace oom
