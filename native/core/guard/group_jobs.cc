#include "core/guard/group_jobs.h"

#include <algorithm>
#include <iterator>

#include "core/guard/blocking_work.h"

namespace oom {

GroupJobs::GroupJobs(const EpisodeMachine& machine, BlockingWork& blocking, JobOwner& owner)
    : machine_(machine), blocking_(blocking), owner_(owner) {
  for (size_t i = 0; i < kPurposes; i++) {
    GroupJob& job = jobs_[i];
    job.purpose = static_cast<JobPurpose>(i);
    job.jobs = this;
    job.work = [](Job& one, Victims& victims, Alarm& alarm) {
      auto& its = static_cast<GroupJob&>(one);
      its.jobs->blocking_.run(its, victims, alarm);
    };
    job.done = [](Job& one, Sentinel& sentinel) {
      auto& its = static_cast<GroupJob&>(one);
      its.jobs->owner_.job_done(sentinel, its);
    };
  }
}

bool GroupJobs::start(JobPurpose purpose, int64_t now, const JobOrder& order) {
  GroupJob& job = jobs_[static_cast<size_t>(purpose)];
  if (job.busy.load()) return false;
  job.order = order;
  if (order.episode == 0) job.order.episode = machine_.id();
  job.slow = order.kind >= JobKind::kBallast;
  job.at = now;
  job.result = 0;
  job.count = 0;
  Helpers::hand(job);
  return true;
}

bool GroupJobs::any_busy() const {
  return callers.load() > 0 || std::any_of(std::begin(jobs_), std::end(jobs_),
                                           [](const GroupJob& job) { return job.busy.load(); });
}

bool GroupJobs::killing() const {
  const GroupJob& step = job(JobPurpose::kStep);
  return callers.load() > 0 || (step.busy.load() && step.order.kind == JobKind::kKill);
}

}  // namespace oom
