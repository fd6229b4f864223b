#include "core/guard/step_runner.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iterator>

namespace oom {
namespace {

uint16_t word(StepKind kind) { return static_cast<uint16_t>(kind); }
uint16_t word(Fallback fallback) { return StepReport::kFallback | static_cast<uint16_t>(fallback); }

Fallback fallback_of(const JobOrder& order) {
  if (order.target == target::kLargest) return Fallback::kKillLargest;
  return order.target == target::kNewest ? Fallback::kKillNewest : Fallback::kKillGroup;
}

StepKind step_of(const JobOrder& order) {
  switch (order.kind) {
    case JobKind::kBallast:
      return StepKind::kBallast;
    case JobKind::kReclaim:
      return StepKind::kReclaim;
    case JobKind::kFreeze:
      return StepKind::kFreeze;
    case JobKind::kSignal:
      return StepKind::kSignal;
    default:
      if (order.target == target::kLargest) return StepKind::kKillLargest;
      return order.target == target::kNewest ? StepKind::kKillNewest : StepKind::kKillGroup;
  }
}

JobOrder kill(int32_t target) {
  return {.kind = JobKind::kKill, .signal = SIGKILL, .target = target};
}

}  // namespace

void StepRunner::run(Sentinel& sentinel, int64_t now, uint8_t index) {
  const PlanStep& plan = machine_.config().plan[index];
  Input done;
  done.fact = Fact::kStepDone;
  done.episode = machine_.id();
  if (plan.kind == StepKind::kKernel) return answer(done);  // reported with the release
  if (plan.kind == StepKind::kHeadroom) {
    done.bytes = machine_.headroom_target(index);
    slot_.announce_headroom(machine_, done.bytes);
    done.result = headroom_.raise_to(done.bytes);
  } else {
    if (start(now, plan)) return;
    done.result = -EBUSY;
  }
  reports_.step(
      sentinel,
      {.what = word(plan.kind), .episode = done.episode, .at = now, .result = done.result});
  answer(done);
}

bool StepRunner::start(int64_t now, const PlanStep& plan) {
  switch (plan.kind) {
    case StepKind::kBallast:
      return jobs_.start(JobPurpose::kStep, now, {.kind = JobKind::kBallast});
    case StepKind::kReclaim:
      return jobs_.start(JobPurpose::kStep, now, {.kind = JobKind::kReclaim});
    case StepKind::kFreeze:
      return standstill_.freeze_by_plan(now);
    case StepKind::kSignal:
      return jobs_.start(JobPurpose::kStep, now,
                         {.kind = JobKind::kSignal, .signal = plan.signal, .target = plan.target});
    case StepKind::kKillLargest:
    case StepKind::kKillNewest:
    case StepKind::kKillGroup:
      return jobs_.start(JobPurpose::kStep, now, kill(target_of(plan.kind)));
    case StepKind::kHeadroom:
    case StepKind::kKernel:
      break;  // no job's
  }
  return true;
}

void StepRunner::fall_back(Sentinel& sentinel, int64_t now) {
  if (!claim()) return;
  Fallback fallback = machine_.fallback();
  standstill_.cancel();
  if (jobs_.start(JobPurpose::kFallback, now, kill(target_of(fallback)))) return;
  reports_.step(sentinel,
                {.what = word(fallback), .episode = machine_.id(), .at = now, .result = -EBUSY});
  Input done;
  done.fact = Fact::kFallbackDone;
  done.episode = machine_.id();
  done.result = -EBUSY;
  answer(done);
}

bool StepRunner::claim() {
  return slot_.claim(machine_, [this](const Input& input) { answer(input); });
}

void StepRunner::report_release(Sentinel& sentinel, int64_t now, int result) {
  if (!machine_.active() || release_reported_ == machine_.id()) return;
  release_reported_ = machine_.id();
  reports_.step(
      sentinel,
      {.what = word(Fallback::kKernel), .episode = machine_.id(), .at = now, .result = result});
}

void StepRunner::rehearse(Sentinel& sentinel) {
  const EpisodeConfig& config = machine_.config();
  auto report = [&](uint16_t what, int64_t at) {
    reports_.step(sentinel, {.what = static_cast<uint16_t>(StepReport::kDry | what),
                             .episode = machine_.id(),
                             .at = at});
  };
  for (uint8_t i = 0; i < config.plan_size; i++) {
    report(word(config.plan[i].kind), machine_.started_at() + config.plan[i].after_ns);
  }
  report(word(machine_.fallback()), machine_.deadline());
}

bool StepRunner::describe(const GroupJob& job, StepReport& report) const {
  if (job.purpose == JobPurpose::kStep) {
    report.what = word(step_of(job.order));
  } else if (job.purpose == JobPurpose::kFallback) {
    report.what = word(fallback_of(job.order));
  } else {
    return false;
  }
  report.episode = job.order.episode;
  report.at = job.at;
  report.signal = job.order.signal;
  return true;
}

void StepRunner::report(Sentinel& sentinel, const GroupJob& job) {
  StepReport report;
  if (!describe(job, report) || job.order.episode == unanswered_) return;
  report.result = job.result;
  report.pids = job.pids;
  report.pid_count = job.pid_count;
  reports_.step(sentinel, report);
}

void StepRunner::report_unanswered(Sentinel& sentinel, uint32_t episode) {
  for (JobPurpose purpose : {JobPurpose::kStep, JobPurpose::kFallback}) {
    const GroupJob* job = jobs_.running(purpose, episode);
    StepReport report;
    if (!job || !describe(*job, report)) continue;
    unanswered_ = episode;
    report.result = -EINPROGRESS;
    reports_.step(sentinel, report);
  }
}

void StepRunner::answer(const Input& input) {
  if (answer_count_ < std::size(answers_)) answers_[answer_count_++] = input;
}

bool StepRunner::take_answer(Input& out) {
  if (answer_count_ == 0) return false;
  out = answers_[0];
  std::copy(answers_ + 1, answers_ + answer_count_, answers_);
  answer_count_--;
  return true;
}

}  // namespace oom
