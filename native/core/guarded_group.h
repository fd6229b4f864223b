// One group under guard: its warm files, its episode machine and what it has lent.
//
// Threads: made and armed by any thread that may allocate; from attach() to detach() it belongs to
// the sentinel, except run_job(), which a helper runs on the warm files. Lies in locked memory.
//
// Contract rules kept here: the machine's actions are carried out in order and at once; what an
// episode lent is taken back at its end; reports that find no room wait here, and never hold up the
// machine.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/episode.h"
#include "core/helpers.h"
#include "core/hot_v1.h"
#include "core/locked.h"
#include "core/sentinel.h"
#include "core/shared_state.h"
#include "core/victims.h"

namespace oom {

class Guard;

class GuardedGroup final : public Source {
 public:
  GuardedGroup(Guard& guard, GuardedGroup* parent, uint32_t sub);

  // Opens and reads what the out-of-memory path needs; changes nothing in the group.
  Status arm(int dir);
  // Whether the kernel's killer is disabled already: 0, 1 or -errno.
  int held() { return hot().held(); }

  // On the sentinel.
  int attach(Sentinel& sentinel);
  void detach(Sentinel& sentinel);
  int hold();
  // Nobody stands behind it any more: let go for good. `err` is reported if it is not 0.
  void abandon(Sentinel& sentinel, int err);
  void command(Sentinel& sentinel, const Input& input);
  void ready(Sentinel& sentinel, int64_t now) override;
  void due(Sentinel& sentinel, int64_t now) override;
  void flush(Sentinel& sentinel) override { report(sentinel); }
  void job_done(Sentinel& sentinel, Job& job);

  // After detach(), any thread: takes back what is still lent.
  void settle();

  // On a helper.
  void run_job(Job& job, Victims& victims);
  // Signals a pid, all (0) or the largest (-1) of the members here and below: 0 or -errno.
  int signal(Victims& victims, int signal, int32_t target);
  // Whether a helper still has a job of this group, or a user of kill() is at it.
  bool busy() const;

  // What the guardian sees of it; before attach().
  void set_slot(SharedSlot* slot) { slot_ = slot; }
  void free_slot();

  HotGroup& hot() { return hot_; }
  uint32_t sub() const { return sub_; }
  GuardedGroup* parent() const { return parent_; }
  uint32_t episode() const { return machine_.id(); }
  bool in_episode() const { return machine_.active(); }

  std::atomic<int> users{0};

 private:
  int look(Sample& sample);
  void step(Sentinel& sentinel, Fact fact, int64_t now, int32_t result = 0, uint32_t killed = 0,
            uint32_t episode = 0);
  void switched(Sentinel& sentinel, int64_t now, int err);
  void thaw();
  void feed(Sentinel& sentinel, int64_t now, const Input& input);
  void carry_out(Sentinel& sentinel, int64_t now, const Actions& actions);
  void run_step(Sentinel& sentinel, int64_t now, uint8_t index);
  void start(Job& job, JobKind kind, int32_t signal, int32_t target);
  void step_report(Sentinel& sentinel, uint16_t what, int64_t at, const Job* job, int32_t result);
  void rehearse(Sentinel& sentinel);
  void end(Sentinel& sentinel);
  void repay(Sentinel& sentinel, int64_t now);
  void removed(Sentinel& sentinel, int64_t now);
  void report(Sentinel& sentinel);
  void schedule(Sentinel& sentinel);

  void publish();
  bool claim(Sentinel& sentinel, int64_t now);

  Guard& guard_;
  GuardedGroup* parent_;
  uint32_t sub_;
  HotGroupV1 hot_;
  SharedSlot* slot_ = nullptr;
  EpisodeMachine machine_;
  Job step_job_, fallback_job_, repay_job_, thaw_job_;
  int64_t step_at_ = 0;
  int64_t repay_at_ = kNever;  // when to try again to put the limit back
  bool lent_ = false;
  bool frozen_ = false;
  bool attached_ = false;
  bool gone_ = false;

  // Reports that found no room: one episode's; `missed_` counts those that were overtaken.
  bool last_end_waits_ = false, begin_waits_ = false, end_waits_ = false, gone_waits_ = false;
  Record last_end_, begin_, end_, gone_record_;
  uint32_t missed_ = 0;
};

}  // namespace oom
