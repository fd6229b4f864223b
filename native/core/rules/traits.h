// What a way of holding a group is like: a constant of each back-end (memcg/back_end.h). The defaults
// are memory.oom_control's.
#pragma once

#include <cstdint>

#include "core/rules/timer.h"

namespace oom {

struct Traits {
  // Most notifications are no OOM, and an OOM stays visible for as long as it lasts.
  bool notifies_of_more = false;
  // How long an idle group may go without a sample, ns; kNever: the kernel notifies of everything.
  int64_t idle_sample_ns = kNever;
  // Some of the first hold takes time: BackEnd::prepare_hold().
  bool prepares = false;
  // The kernel has to be made to decide: BackEnd::decide(), by a helper, after the release.
  bool kernel_must_be_asked = false;
  // A task that waits for memory stays in its page fault: it can end only by being killed.
  bool waits_in_fault = true;
  // The group is out of memory past a line below its limit, where the kernel keeps its killer all the
  // time and has nothing to decide: the group may stand there for as long as it likes.
  bool stands_past_line = false;
  // A frozen member has to be thawed to die.
  bool thaw_to_kill = true;
};

}  // namespace oom
