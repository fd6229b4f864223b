// The processes of a group and of the groups below it: listing and signalling. Cold path
// (allocates), any thread. Guards have their own, prepared way.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "core/result.h"

namespace oom::members {

// The groups below `dir` as relative paths, parents before children. Groups that go meanwhile are
// left out.
Status descendants(int dir, std::vector<std::string>& out);

// The processes of the group (sorted, each once), with those of all descendants if `recursive`.
// Members that are not visible in this pid namespace are left out.
Status pids(int dir, bool recursive, std::vector<pid_t>& out);

// Whether the list has this process (ERR_SELF_IN_GROUP) or pid 1, which no signal kills (EPERM).
Status check_expendable(const std::vector<pid_t>& list);

// Sends the signal to each of the listed processes that is still a member: a pid that was given to
// another process since it was listed is not signalled. Those signalled are appended to
// `signalled`. Goes through the whole list and then tells the first failure.
Status signal(int dir, bool recursive, const std::vector<pid_t>& list, int signal,
              std::vector<pid_t>& signalled);

}  // namespace oom::members
