// Carries out what an episode does: the steps of the plan and the fallback. Each is begun at once,
// by a job or by a write of the sentinel's own, reported when it is done, and answered to the
// machine.
//
// Runs on the sentinel. What is answered at once waits until all actions of the round have been
// carried out: take_answer().
//
// Contract rules kept here: a fallback is carried out once, by the process that claims it; reports
// say what was really done and with which result.
#pragma once

#include <cstdint>

#include "core/guard/group_jobs.h"
#include "core/guard/guardian_slot.h"
#include "core/guard/reports.h"
#include "core/guard/standstill.h"
#include "core/memcg/back_end.h"
#include "core/rules/episode.h"

namespace oom {

class StepRunner {
 public:
  StepRunner(const EpisodeMachine& machine, HeadroomFiles& headroom, GroupJobs& jobs,
             GuardianSlot& slot, Standstill& standstill, Reports& reports)
      : machine_(machine),
        headroom_(headroom),
        jobs_(jobs),
        slot_(slot),
        standstill_(standstill),
        reports_(reports) {}

  void run(Sentinel& sentinel, int64_t now, uint8_t index);
  // Carries out a killing fallback, unless the guardian has claimed it.
  void fall_back(Sentinel& sentinel, int64_t now);
  // Whether the sentinel may carry out this episode's fallback; if not, the machine is notified
  // that the guardian has.
  bool claim();
  // The group has been released to the kernel in this episode: the fallback `kernel`, or what comes
  // after a killing one. Reported once.
  void report_release(Sentinel& sentinel, int64_t now, int result);
  // What a dry run's plan and fallback would have done, each at the time it would have been due.
  void rehearse(Sentinel& sentinel);
  // Reports a job that was a step or a fallback.
  void report(Sentinel& sentinel, const GroupJob& job);
  // Reports what has not answered by the end of its episode: nothing is reported after it.
  void report_unanswered(Sentinel& sentinel, uint32_t episode);

  // False if there is no answer.
  bool take_answer(Input& out);

 private:
  // False if the job of an earlier episode is still running.
  bool start(int64_t now, const PlanStep& plan);
  void answer(const Input& input);

  const EpisodeMachine& machine_;
  HeadroomFiles& headroom_;
  GroupJobs& jobs_;
  GuardianSlot& slot_;
  Standstill& standstill_;
  Reports& reports_;
  Input answers_[4];
  uint8_t answer_count_ = 0;
  // What a job is in reports; false: it is neither a step nor a fallback.
  bool describe(const GroupJob& job, StepReport& report) const;

  // The episode at whose end steps or the fallback had not answered, last.
  uint32_t unanswered_ = 0;
  // The episode whose release was reported last.
  uint32_t release_reported_ = 0;
};

}  // namespace oom
