// The hold of one guarded group: applies what the machine wants of the kernel's killer, repeats
// what has failed, and has helpers do what would have to wait.
//
// Runs on the sentinel, but for prepare(), which may sleep and comes before everything else.
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

  // Before take(), on a thread that may sleep: what of it takes time. With `refuse_held` this fails
  // with kKillerDisabled where somebody else was faster, as refusal() does.
  int prepare(bool refuse_held);
  // 0, or why the group is not to be taken.
  int refusal(bool refuse_held);
  int take();
  // True from take() to give_back(): its killer is disabled by us, or would be.
  bool taken() const { return taken_; }
  // `release`: back to the kernel, as far as it was changed.
  void give_back(bool release);

  // Whether what the machine wants is to be applied now, and when it is if nothing else happens.
  bool due(int64_t now) const { return switch_.due(now, machine_.wish()); }
  int64_t next() const { return switch_.next(machine_.wish()); }
  void hold(int64_t now);
  // As the machine wants it: for a moment (Grip::kKernelsTurn), or until something else is wanted.
  int release(int64_t now);
  // Has the kernel decide, where it does not by itself.
  void ask_kernel(int64_t now);
  // Adapts to limits that other processes have set.
  void follow(int64_t now, const Sample& sample);
  // Another process may have switched since.
  void doubt() { switch_.doubt(); }
  // A helper's hold has been answered; the group may have been released meanwhile.
  void held_slowly();

 private:
  // `err` of hold() or follow(): what would have to wait for reclaim is a helper's.
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
