// Where an episode is in its plan: one step at a time, in order; the deadline never waits for one.
// Pure.
#pragma once

#include <cstdint>

#include "core/rules/config.h"
#include "core/rules/invariant.h"
#include "core/rules/timer.h"

namespace oom {

class PlanCursor {
 public:
  void begin(int64_t started_at) {
    OOM_INVARIANT(!running_);
    started_at_ = started_at;
    next_ = 0;
    running_ = acted_ = false;
  }
  void end() { running_ = false; }

  // Whether the next step is to be run now.
  bool due(int64_t now, const EpisodeConfig& config) const {
    return !running_ && next_ < config.plan_size && now >= due_at(config);
  }
  // When the next step becomes due; kNever while one runs, or where none is left.
  int64_t next_due(const EpisodeConfig& config) const {
    return !running_ && next_ < config.plan_size ? due_at(config) : kNever;
  }
  // Its index.
  uint8_t start() {
    OOM_INVARIANT(!running_ && next_ < kMaxPlan);
    running_ = true;
    return next_++;
  }
  bool running() const { return running_; }
  // Whether a step of this kind has been started since begin().
  bool started(StepKind kind, const EpisodeConfig& config) const {
    for (uint8_t i = 0; i < next_; i++) {
      if (config.plan[i].kind == kind) return true;
    }
    return false;
  }
  // The last one that was started.
  const PlanStep& step(const EpisodeConfig& config) const {
    OOM_INVARIANT(next_ > 0 && next_ <= config.plan_size);
    return config.plan[next_ - 1];
  }
  void done() {
    OOM_INVARIANT(running_);
    running_ = false;
  }

  // A step has changed something: the group's relief is the plan's work.
  void note_effect() { acted_ = true; }
  bool acted() const { return acted_; }

 private:
  int64_t due_at(const EpisodeConfig& config) const {
    OOM_INVARIANT(next_ < config.plan_size && config.plan_size <= kMaxPlan);
    return started_at_ + config.plan[next_].after_ns;
  }

  int64_t started_at_ = 0;
  uint8_t next_ = 0;
  bool running_ = false;
  bool acted_ = false;
};

}  // namespace oom
