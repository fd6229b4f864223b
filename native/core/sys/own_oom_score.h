// This process's oom_score_adj, as protect() sets it: proc_pid_oom_score_adj(5). The state is the
// process's, however many workers and copies of the JavaScript part use it. Any thread.
//
// Kernel contract: children inherit the score, and with it the immunity that -1000 is. Raising it
// needs no privilege, nor does lowering it to what it was when a privileged process last set it.
#pragma once

#include <cstdint>
#include <optional>

#include "core/sys/status.h"

namespace oom::score {

// Sets it; `id` is for undo().
Status set(int value, uint32_t& id);
// Of those that are in force the last one counts; after the last one, what was found. Does nothing
// for one that was undone before.
Status undo(uint32_t id);
// Whether a child may start with this value: success, or EACCES where that is known to take
// CAP_SYS_RESOURCE. Neither this process nor any other is changed. Sleeps for the time of a clone(2).
Status may_start_with(int value);
// What the process had before the first set() that is in force; nothing if none is.
std::optional<int> before();

}  // namespace oom::score
