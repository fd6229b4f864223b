// One group under guard: its warm files, its episode machine and the objects around that. This
// class is the way of each fact: sample → machine → hold → actions → slot and reports.
//
// Threads: made and armed by any thread that may allocate; from attaching to detach() it belongs to
// the sentinel, except members() and what a BlockingWork does, which others call. Lies in locked
// memory, and with it all that helpers and the sentinel write.
//
// Contract rules kept here: the machine's actions are carried out in order and at once; what an
// episode changed is restored at its end; the outcome names the one that really killed.
#pragma once

#include <cstdint>
#include <string>

#include "core/guard/ballast_refill.h"
#include "core/guard/blocking_work.h"
#include "core/guard/episode_noting.h"
#include "core/guard/group_hold.h"
#include "core/guard/group_jobs.h"
#include "core/guard/group_members.h"
#include "core/guard/guardian_slot.h"
#include "core/guard/observer.h"
#include "core/guard/reports.h"
#include "core/guard/standstill.h"
#include "core/guard/step_runner.h"
#include "core/members/waiters.h"
#include "core/memcg/back_end_kind.h"
#include "core/rules/episode.h"
#include "core/sentinel/sentinel.h"

namespace oom {

// What all groups of a guard are made with.
struct GroupTerms {
  const BackEndKind& kind;
  const EpisodeConfig& episode;
  const HoldConfig& hold;
  uint64_t ballast;
  SharedWork& shared;
  Channel& channel;
  uint32_t target;
};

class GuardedGroup final : public Source, public JobOwner {
 public:
  GuardedGroup(const GroupTerms& terms, GuardedGroup* parent, uint32_t sub);

  // Opens and reads what the out-of-memory path needs; changes nothing in the group. `path` is
  // absolute.
  Status arm(const Place& place, int dir, const std::string& path, const ArmNeeds& needs);
  // Replaces arm() for a group that is known only for kills in the groups above.
  Status arm_members(const Place& place, int dir, const ArmNeeds& needs) {
    return back_end_->arm_members(place, dir, needs);
  }
  // Whether the kernel's killer is disabled already: 0, 1 or -errno.
  int held() { return back_end_->held(); }
  // Before take_over(): whether sample_again() follows each write to the files of the hold.
  void set_writes_reported(bool reported) { writes_reported_ = reported; }
  // Before take_over(): the slot in which the guardian sees the group.
  // `stops`: where stopped processes are noted; none: nowhere that the guardian could see.
  void set_slot(SharedSlot& slot, const StopTable& stops) {
    slot_.set(slot);
    back_end_->note_stops(stops);
  }
  // Before take_over(), on a thread that may sleep: does the part of it that sleeps.
  int prepare_hold(bool refuse_held) { return hold_.prepare(refuse_held); }

  // On the sentinel. Attaches the group and holds it; with `refuse_held` this fails with
  // kKillerDisabled if another process holds it already.
  int take_over(Sentinel& sentinel, bool refuse_held);
  // Ends a running episode and, with `killer_too`, enables the kernel's killer.
  void release(Sentinel& sentinel, bool killer_too);
  void detach(Sentinel& sentinel);
  // Re-applies the hold after the guardian has ended: it may have held or released the group,
  // acting on an outdated state.
  void hold_again(Sentinel& sentinel);
  // Releases for good, because there is no guardian any more. An `err` other than 0 is reported.
  void release_for_good(Sentinel& sentinel, int err);
  void command(Sentinel& sentinel, const Input& input);
  // Something may have changed without a notification.
  void sample_again(Sentinel& sentinel);
  void ready(Sentinel& sentinel, int64_t now) override;
  void due(Sentinel& sentinel, int64_t now) override;
  void flush(Sentinel& sentinel) override { reports_.flush(sentinel); }
  void job_done(Sentinel& sentinel, GroupJob& job) override;
  const EpisodeMachine& machine() const { return machine_; }

  // Any thread. A caller of members() that is no helper is counted meanwhile.
  GroupMembers& members() { return members_; }
  std::atomic<int>& callers() { return jobs_.callers; }
  // Whether a helper still has a job of this group, or such a caller still uses it.
  bool busy() const { return jobs_.any_busy(); }
  // After detach() and not busy(): restores what is still raised or frozen.
  void settle() { blocking_.settle(machine_.base_limit()); }

 private:
  void step(Sentinel& sentinel, Fact fact, int64_t now);
  void feed(Sentinel& sentinel, int64_t now, const Input& input);
  void apply_grip(Sentinel& sentinel, int64_t now);
  void carry_out(Sentinel& sentinel, int64_t now, const Actions& actions);
  void begin(Sentinel& sentinel, int64_t now);
  void end(Sentinel& sentinel, const EpisodeEnd& how);
  bool clear_up(const EpisodeEnd& how);
  void restore_limit(int64_t now);
  void use_answer(Sentinel& sentinel, int64_t now, const JobOrder& order, int32_t result,
                  uint32_t count);
  void removed(Sentinel& sentinel, int64_t now);
  void stop_listening(Sentinel& sentinel);
  void schedule(Sentinel& sentinel);

  const BackEndKind& kind_;
  const bool may_freeze_;  // holding it may
  const bool topmost_;
  BackEndHolder back_end_;
  EpisodeMachine machine_;
  GuardianSlot slot_;
  Waiters waiters_;
  GroupMembers members_;
  BlockingWork blocking_;
  GroupJobs jobs_;
  GroupHold hold_;
  Standstill standstill_;
  Observer observer_;
  BallastRefill refill_;
  EpisodeNoting notes_;
  Reports reports_;
  StepRunner steps_;
  bool attached_ = false;
  bool writes_reported_ = false;
};

}  // namespace oom
