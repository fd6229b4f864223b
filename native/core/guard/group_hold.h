// The hold of one guarded group: holds or releases it as the machine wants, repeats what has
// failed, and starts a job for what would sleep.
//
// Runs on the sentinel, except prepare(), which may sleep and is called before everything else.
#pragma once

#include <cstdint>

#include "core/guard/group_jobs.h"
#include "core/memcg/back_end.h"
#include "core/rules/episode.h"
#include "core/rules/hold_line.h"
#include "core/rules/switch.h"

namespace oom {

class GroupHold {
 public:
  GroupHold(const EpisodeMachine& machine, BackEnd& back_end, GroupJobs& jobs)
      : machine_(machine), hold_(back_end), headroom_(back_end), jobs_(jobs) {}

  // Before take(), on a thread that may sleep: does the part of it that sleeps. With `refuse_held`
  // it fails with kKillerDisabled if another process holds the group already, as refusal() does.
  int prepare(bool refuse_held);
  // 0, or the error for which the group must not be taken.
  int refusal(bool refuse_held);
  int take();
  // True from take() to end(): this guard disables the killer (unless the machine releases
  // it).
  bool taken() const { return taken_; }
  // Ends the hold. `release`: also enables the kernel's killer, if this guard has disabled it.
  void end(bool release);

  // Whether what the machine wants must be applied now, and when, if nothing happens before.
  bool due(int64_t now) const { return switch_.due(now, machine_.wish()); }
  int64_t next() const { return switch_.next(machine_.wish()); }
  void hold(int64_t now);
  // Releases for a moment (Grip::kKernelsTurn), or until the machine wants something else.
  int release(int64_t now);
  // Whether the last release() or hold() that went well was a release.
  bool released() const { return switch_.have() != Grip::kHeld; }
  // Another process may act first: tries again a little later.
  void put_off(int64_t now) { switch_.applied(now, machine_.grip(), false); }
  // Starts the job that makes the kernel choose a victim, if it does not do so by itself (v2).
  void ask_kernel(int64_t now);
  // Adapts to limits that other processes have set.
  void follow(int64_t now, const Sample& sample);
  // The state in the kernel is uncertain: another process may have held or released the group.
  void doubt() { switch_.doubt(); }
  // A helper has held the group; the sentinel may have released it meanwhile.
  void held_slowly();

 private:
  // `err` is the result of hold() or follow(): -EAGAIN starts a job, which may wait for reclaim.
  void hold_slowly(int64_t now, int err);

  const EpisodeMachine& machine_;
  Hold& hold_;
  HeadroomFiles& headroom_;
  GroupJobs& jobs_;
  Switch switch_;
  hold::AskRule ask_;
  bool prepared_ = false;  // it is held already, for the most part
  bool taken_ = false;
};

}  // namespace oom
