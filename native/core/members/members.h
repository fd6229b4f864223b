// The processes of a group and of the groups below it: listing and signalling. Cold path
// (allocates), any thread. Guards have their own, prepared way.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "core/sys/status.h"

namespace oom::members {

// The groups below `dir` as relative paths, parents before children. Groups that go meanwhile are
// left out.
Status descendants(int dir, std::vector<std::string>& out);

// The processes of the group, with those of all descendants if `recursive`.
struct List {
  std::vector<pid_t> pids;  // sorted, each once
  size_t unseen = 0;        // how many more are in other pid namespaces, if the kernel lists them
};
// Threaded groups (v2) are skipped: their processes are those of the nearest domain above.
Status list(int dir, bool recursive, List& out);
// Only those that can be named.
Status pids(int dir, bool recursive, std::vector<pid_t>& out);

// Whether there is this process (ERR_SELF_IN_GROUP) or pid 1, which no signal kills
// (ERR_INIT_IN_GROUP).
Status check_expendable(const std::vector<pid_t>& pids);

// Sends the signal to each of the listed processes that is still a member: a pid that was given to
// another process since it was listed is not signalled. Those signalled are appended to
// `signalled`. Goes through the whole list and then returns the first failure.
Status signal(int dir, bool recursive, const std::vector<pid_t>& pids, int signal,
              std::vector<pid_t>& signalled);

}  // namespace oom::members
