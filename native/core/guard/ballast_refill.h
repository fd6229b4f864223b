// When one guarded group has the ballast refilled that its plan has released: some time after the
// release, and later after each try that fails. Runs on the sentinel; the refill itself is a job.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/guard/group_jobs.h"
#include "core/rules/episode.h"
#include "core/rules/timer.h"
#include "core/sys/units.h"

namespace oom {

class BallastRefill {
 public:
  BallastRefill(uint64_t ballast, const EpisodeMachine& machine, GroupJobs& jobs)
      : ballast_(ballast), machine_(machine), jobs_(jobs) {}

  void released(int64_t now) {
    wait_ = kFirst;
    at_.start(now + wait_);
  }
  void answered(int64_t now, int result) {
    wait_ = std::min(2 * wait_, kMost);
    result == 0 ? at_.stop() : at_.start(now + wait_);
  }
  int64_t next() const { return at_.at(); }
  void due(int64_t now) {
    if (!at_.fired(now)) return;
    at_.start(now + wait_);
    if (!has_room()) return;
    if (jobs_.start(JobPurpose::kRefill, now, {.kind = JobKind::kRefill})) at_.stop();
  }

 private:
  static constexpr uint64_t kSlack = uint64_t{1} << 20;
  static constexpr int64_t kFirst = 1000 * kMs;
  static constexpr int64_t kMost = 30'000 * kMs;

  // A refill must not be what starts the next episode.
  bool has_room() const {
    const Sample& last = machine_.last();
    uint64_t wanted = ballast_ + kSlack;
    return !machine_.active() && !last.starved() && last.limit >= wanted &&
           last.usage <= last.limit - wanted;
  }

  uint64_t ballast_;
  const EpisodeMachine& machine_;
  GroupJobs& jobs_;
  Timer at_;
  int64_t wait_ = 0;
};

}  // namespace oom
