// The jobs of one guarded group: work that helpers do for it (helpers.h), one per purpose at a
// time.
//
// Runs on the sentinel. The jobs lie in the group, so that starting one allocates nothing; while a
// job is busy it is its helper's. What the helper does is in blocking_work.h.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/memcg/back_end.h"
#include "core/rules/episode.h"
#include "core/rules/episode_notes.h"
#include "core/sentinel/helpers.h"

namespace oom {

class BlockingWork;
class GroupJobs;
class JobOwner;

enum class JobKind : uint8_t {
  // Urgent.
  kSignal,
  kKill,
  kFreeze,
  kThaw,
  kDecide,    // the kernel's killer is made to choose
  kWaiters,   // note who waits for memory
  kVerdict,   // count 1: one of the processes noted by kWaiters was killed
  kPresence,  // count 1: a process is left here or below
  kCensus,    // note who holds what
  // Slow.
  kBallast,
  kRefill,
  kReclaim,
  kRestore,
  kHold,
};

// What a job is started for. Several kinds can have the same purpose, and then wait for each other.
enum class JobPurpose : uint8_t {
  kStep,      // of the plan
  kFallback,  // a killing one
  kRestore,   // the limit, after headroom
  kRefill,    // the ballast
  kThaw,
  kWaiters,  // and the verdict
  kStop,     // the members, which could not be held otherwise
  kHold,     // if that has to wait for reclaim
  kDecide,
  kPresence,
  kCensus,
};

struct JobOrder {
  JobKind kind = JobKind::kRestore;
  int32_t signal = 0;
  // As for Victims::signal().
  int32_t target = 0;
  // The episode that the job belongs to; 0: the running one.
  uint32_t episode = 0;
  // kRestore: the limit.
  uint64_t bytes = 0;
  // kDecide.
  Asking asking = {};
  // kCensus: where to.
  Census* census = nullptr;
};

struct GroupJob : Job {
  JobPurpose purpose = JobPurpose::kStep;
  GroupJobs* jobs = nullptr;
  JobOrder order;
  // When start() was called.
  int64_t at = 0;
  // The answer.
  int32_t result = 0;
  uint32_t count = 0;  // processes signalled
};

class JobOwner {
 public:
  // On the sentinel: the job has its answer, and is busy until this has taken it.
  virtual void job_done(Sentinel& sentinel, GroupJob& job) = 0;

 protected:
  ~JobOwner() = default;
};

class GroupJobs {
 public:
  GroupJobs(const EpisodeMachine& machine, BlockingWork& blocking, JobOwner& owner);

  // False if the previous job of this purpose is still running.
  bool start(JobPurpose purpose, int64_t now, const JobOrder& order);
  bool busy(JobPurpose purpose) const { return job(purpose).busy.load(); }
  // The job of this purpose that has not answered yet, where it is one of this episode's; else null.
  const GroupJob* running(JobPurpose purpose, uint32_t episode) const {
    const GroupJob& its = job(purpose);
    return its.busy.load() && its.order.episode == episode ? &its : nullptr;
  }
  // Any thread: whether a helper still has a job of this group, or a thread is in Guard::kill().
  bool any_busy() const;
  // Whether a kill is under way that will be reported when it is done.
  bool killing() const;

  // How many threads use the group as a helper does, in Guard::kill().
  std::atomic<int> callers{0};

 private:
  static constexpr size_t kPurposes = static_cast<size_t>(JobPurpose::kCensus) + 1;
  const GroupJob& job(JobPurpose purpose) const { return jobs_[static_cast<size_t>(purpose)]; }

  const EpisodeMachine& machine_;
  BlockingWork& blocking_;
  JobOwner& owner_;
  GroupJob jobs_[kPurposes];
};

}  // namespace oom
