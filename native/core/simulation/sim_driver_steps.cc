// See sim_driver.h: what is done to a simulated group, as the helpers and the program do it to a
// real one. Steps of the plan, the fallback, kills, limits that are raised and restored.
#include <algorithm>
#include <cerrno>

#include "core/simulation/sim_driver.h"

namespace oom {
namespace {

constexpr int32_t kSigKill = 9;

}  // namespace

void SimDriver::perform(const Job& job) {
  const EpisodeConfig& config = machine_.config();
  SimStep report;
  report.episode = job.episode;
  report.fallback = job.fallback;
  report.index = job.index;
  report.started_at = job.started_at;
  bool current = machine_.active() && machine_.id() == job.episode;
  report.result = hooks_->fails(job.fallback ? SimCall::kFallback : SimCall::kStep);
  bool theirs =
      job.fallback && slot_ && !slot_->act_for(job.episode, Claimant::kSentinel, group_->now());
  int64_t claimed_at = slot_ ? slot_->claimed_at.load() : 0;
  if (report.result == 0 && job.fallback) {
    if (!theirs && current && machine_.phase() == EpisodeMachine::Phase::kFallingBack) {
      kill_into(target_of(machine_.fallback()), report);
    } else {
      report.result = -ECANCELED;
    }
  } else if (report.result == 0) {
    const PlanStep& step = config.plan[job.index];
    bool over = machine_.phase() == EpisodeMachine::Phase::kOver;
    bool any_time = step.kind == StepKind::kHeadroom && !over;
    report.result = current || any_time ? run_step(step, job, report) : -ECANCELED;
  }
  hooks_->stepped(report);
  if (slot_ && claimed_by_guardian(*slot_, machine_)) woken(Fact::kSampled);
  Input answer;
  answer.fact = job.fallback ? Fact::kFallbackDone : Fact::kStepDone;
  answer.result = report.result;
  answer.killed = report.killed ? static_cast<uint32_t>(report.pids.size()) : 0;
  answer.episode = job.episode;
  bool lends = !job.fallback && config.plan[job.index].kind == StepKind::kHeadroom;
  if (lends && report.result == 0) answer.bytes = job.target;
  if (theirs) {
    guardian_has_acted(claimed_at, job.episode, [this](const Input& input) { feed(input); });
  } else {
    feed(answer);
  }
}

int32_t SimDriver::run_step(const PlanStep& step, const Job& job, SimStep& report) {
  switch (step.kind) {
    case StepKind::kHeadroom: {
      if (job.target <= group_->limit()) return 0;
      if (slot_) {
        RaisedLimit raised;
        raised.to = std::max(job.target, set_limit_);
        announce_headroom(*slot_, machine_, raised);
      }
      hooks_->passes();
      int32_t err = group_->set_limit(job.target);
      if (err == 0) set_limit_ = group_->limit();
      hooks_->passes();
      return err;
    }
    case StepKind::kBallast: {
      const SimProcess* p = group_->find(ballast_pid_);
      uint64_t bytes = p ? p->size : 0;
      ballast_out_ += bytes;
      if (bytes > 0) group_->release(ballast_pid_, bytes);
      return bytes > 0 ? 0 : -ENOENT;
    }
    case StepKind::kReclaim:
      return group_->reclaim(group_->cached()) > 0 ? 0 : -EAGAIN;
    case StepKind::kSignal:
      if (step.signal == kSigKill) {
        kill_into(step.target, report);
        return 0;
      }
      for (const SimProcess& p : group_->processes()) {
        if (p.killed || p.pid == ballast_pid_) continue;
        if (step.target > 0 && p.pid != step.target) continue;
        if (step.target == target::kLargest && p.pid != group_->largest()) continue;
        report.pids.push_back(p.pid);
      }
      for (int32_t pid : report.pids) hooks_->signalled(pid, step.signal);
      return report.pids.empty() ? -ESRCH : 0;
    case StepKind::kKillLargest:
    case StepKind::kKillNewest:
    case StepKind::kKillGroup:
      kill_into(target_of(step.kind), report);
      return 0;
    case StepKind::kKernel:
      return 0;
    case StepKind::kFreeze:
      frozen_ = true;
      publish();
      hooks_->passes();
      group_->freeze();
      return 0;
  }
  return -EINVAL;
}

void SimDriver::kill_into(int32_t victim, SimStep& report) {
  if (frozen_) group_->thaw();
  frozen_ = false;
  if (victim == target::kAll) {
    for (const SimProcess& p : group_->processes()) {
      if (!p.killed && !p.spared) report.pids.push_back(p.pid);
    }
  } else {
    int32_t pid = victim > 0                  ? victim
                  : victim == target::kNewest ? group_->newest()
                                              : group_->largest();
    const SimProcess* p = group_->find(pid);
    if (p && !p->killed) report.pids.push_back(pid);
  }
  for (int32_t pid : report.pids) group_->kill(pid);
  report.killed = !report.pids.empty();
}

std::vector<int32_t> SimDriver::kill(int32_t victim) {
  SimStep report;
  kill_into(victim, report);
  Input input;
  input.fact = Fact::kUserKilled;
  input.killed = static_cast<uint32_t>(report.pids.size());
  feed(input);
  return report.pids;
}

int SimDriver::raise_limit(uint64_t bytes) {
  bytes = std::min(bytes / kPage * kPage, kNoLimit);
  if (bytes <= machine_.base_limit()) return -EINVAL;
  if (bytes > group_->limit()) {
    int32_t err = hooks_->fails(SimCall::kLimit);
    if (err == 0) err = group_->set_limit(bytes);
    if (err != 0) return err;
  }
  hooks_->raised();
  Input input;
  input.fact = Fact::kUserRaised;
  input.bytes = bytes;
  feed(input);
  return 0;
}

// Towards the base limit, as far as usage allows. A limit set by another process is left alone.
void SimDriver::lower_limit() {
  uint64_t base = machine_.base_limit();
  if (group_->limit() <= base || group_->limit() != set_limit_) set_limit_ = 0;
  if (set_limit_ == 0) return;
  if (hooks_->fails(SimCall::kLimit) != 0) return;
  int32_t err = group_->set_limit(base);
  if (err == 0) set_limit_ = 0;
  if (err == -EBUSY) {
    uint64_t least = std::max(base, (group_->usage() + kPage - 1) / kPage * kPage);
    if (least < group_->limit() && group_->set_limit(least) == 0) set_limit_ = least;
  }
}

void SimDriver::restore() {
  if (frozen_) group_->thaw();
  frozen_ = false;
  if (set_limit_ != 0) lower_limit();
  if (ballast_out_ > 0 && group_->find(ballast_pid_) &&
      group_->usage() + ballast_out_ + kChargeBatch <= group_->limit()) {
    group_->allocate(ballast_pid_, ballast_out_);
    ballast_out_ = 0;
  }
}

}  // namespace oom
