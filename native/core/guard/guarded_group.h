// One group under guard: its warm files, its episode machine and what it has lent.
//
// Threads: made and armed by any thread that may allocate; from attach() to detach() it belongs to
// the sentinel, except run_job() and signal(), which others run on the warm files. Lies in locked
// memory. guarded_group.cc is the way from facts to the machine and its actions,
// guarded_jobs.cc what is done by helpers, guarded_shared.cc what the guardian sees.
//
// Contract rules kept here: the machine's actions are carried out in order and at once; what an
// episode lent is taken back at its end; who killed is told truly.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "core/guard/group_list.h"
#include "core/guard/guard_job.h"
#include "core/guard/reports.h"
#include "core/guardian_link/shared_state.h"
#include "core/members/victims.h"
#include "core/members/waiters.h"
#include "core/memcg/back_end_kind.h"
#include "core/prepared/locked.h"
#include "core/rules/episode.h"
#include "core/rules/own_oom.h"
#include "core/rules/presence.h"
#include "core/sentinel/sentinel.h"

namespace oom {

class Guard;

class GuardedGroup final : public Source {
 public:
  GuardedGroup(Guard& guard, GuardedGroup* parent, uint32_t sub);
  ~GuardedGroup() override;

  // Opens and reads what the out-of-memory path needs; changes nothing in the group. `path` is
  // absolute.
  Status arm(const Place& place, int dir, const std::string& path, const ArmNeeds& needs);
  // In place of arm(), for a group that is known only for kills in those above.
  Status arm_members(const Place& place, int dir, const ArmNeeds& needs) {
    return back_end_->arm_members(place, dir, needs);
  }
  // Whether the kernel's killer is disabled already: 0, 1 or -errno.
  int held() { return back_end().held(); }

  // On the sentinel. take_over() is hold() and attach(); with `refuse_held` it fails with
  // kKillerDisabled where somebody else was faster.
  int take_over(Sentinel& sentinel, bool refuse_held);
  // Ends a running episode and gives the kernel its killer back.
  void give_back(Sentinel& sentinel, bool killer_too);
  void detach(Sentinel& sentinel);
  // Again, after somebody has let go in our place.
  void hold_again(Sentinel& sentinel);
  // Nobody stands behind it any more: let go for good. `err` is reported if it is not 0.
  void abandon(Sentinel& sentinel, int err);
  void command(Sentinel& sentinel, const Input& input);
  void ready(Sentinel& sentinel, int64_t now) override;
  void due(Sentinel& sentinel, int64_t now) override;
  void flush(Sentinel& sentinel) override { reports_.flush(sentinel); }
  void job_done(Sentinel& sentinel, GuardJob& job);

  // After detach() and not busy(): takes back what is still lent.
  void settle();

  // On a helper.
  void run_job(GuardJob& job, Victims& victims, Alarm& alarm);
  // Signals a pid, all (0) or the largest (-1) of the members here and below: 0 or -errno. Thaws
  // them to die.
  int signal(Victims& victims, int signal, int32_t target);
  // Whether a helper still has a job of this group, or a user of kill() is at it.
  bool busy() const;

  // What the guardian sees of it; before take_over().
  void set_slot(SharedSlot* slot) {
    slot_ = slot;
    back_end_->share(&slot->hold);
  }
  // Before take_over(), on a thread that may sleep: what of that takes time.
  int prepare_hold(bool refuse_held);
  // On the sentinel: something may have changed that nobody has told of.
  void look_again(Sentinel& sentinel);

  BackEnd& back_end() { return *back_end_; }
  uint32_t sub() const { return sub_; }
  const GuardedGroup* parent() const { return parent_; }
  const EpisodeMachine& machine() const { return machine_; }
  bool taken() const { return taken_; }
  bool gone() const { return gone_; }

  std::atomic<int> users{0};  // of kill()
  RosterNode<GuardedGroup> listed;

 private:
  int read(Sample& sample);
  bool starved_above();
  bool observe(Input& input);
  void step(Sentinel& sentinel, Fact fact, int64_t now);
  void feed(Sentinel& sentinel, int64_t now, const Input& input);
  void answer(const Input& input);
  void apply_grip(Sentinel& sentinel, int64_t now);
  void carry_out(Sentinel& sentinel, int64_t now, const Actions& actions);
  void begin(Sentinel& sentinel, int64_t now);
  void rehearse(Sentinel& sentinel);
  bool clear_up(const EpisodeEnd& how);
  void removed(Sentinel& sentinel, int64_t now);
  void schedule(Sentinel& sentinel);

  // guarded_shared.cc
  void publish();
  void announce_loan(uint64_t to);
  void free_slot();
  bool claim();
  bool still_claimed(uint32_t episode);
  bool guardian_acted() const;

  // guarded_jobs.cc
  void run_step(Sentinel& sentinel, int64_t now, uint8_t index);
  void fall_back(Sentinel& sentinel, int64_t now);
  bool start(GuardJob& job, JobKind kind, int64_t now, int32_t signal = 0, int32_t target = 0);
  void report_job(Sentinel& sentinel, const GuardJob& job);
  bool killing() const;
  void repay(int64_t now);
  void refill(int64_t now);
  void thaw(int64_t now);
  void stand(int64_t now);
  void keep_hold(int64_t now, int err);
  void ask_kernel(int64_t now);
  void look_for_members(Sentinel& sentinel, int64_t now);
  bool any_member();

  Guard& guard_;
  GuardedGroup* parent_;
  uint32_t sub_;
  BackEndHolder back_end_;
  SharedSlot* slot_ = nullptr;
  EpisodeMachine machine_;
  Switch switch_;
  Reports reports_;
  Census census_;
  // Answers to actions, given when all actions of a round have been carried out.
  Input answers_[4];
  uint8_t answer_count_ = 0;

  GuardJob step_job_, fallback_job_, repay_job_, refill_job_, thaw_job_, census_job_;
  GuardJob stop_job_, hold_job_, decide_job_, presence_job_;
  int64_t refill_at_ = kNever, refill_wait_ = 0;  // when ballast is to be there again
  int64_t thaw_at_ = kNever;                      // when to try again to thaw
  hold::AskRule ask_;
  Presence presence_;
  // If under_oom is still set 1 s after usage fell below the limit, the waiters missed their wake-up.
  OwnOom own_{1000 * kMs};
  uint32_t let_go_told_ = 0;  // the episode whose kernel fallback was reported
  bool freezing_ = false;     // the members shall stand still
  bool stopped_ = false;      // because they could not be held otherwise
  bool attached_ = false;
  bool prepared_ = false;  // it is held already, for the most part
  bool taken_ = false;     // we have disabled its killer, or would have
  bool gone_ = false;
};

}  // namespace oom
