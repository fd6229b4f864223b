// The v1 freezer: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst. A hierarchy of its
// own, so a memory group has a freezer only if another program has made a freezer group of the same
// path with the same processes in it (as container runtimes do). Cold path, any thread.
#pragma once

#include "core/sys/status.h"

namespace oom {
class Group;
}

namespace oom::freezer_v1 {

// ERR_NO_FREEZER: no such freezer group, or not all members of the memory group are in it.
// ERR_SELF_IN_GROUP: this process would stop itself. Only the first call writes; see Memcg.
Status freeze(const Group& group, bool& done);
// EBUSY with freezer.parent_freezing: a group above keeps it frozen.
Status thaw(const Group& group, bool& done);
// Thaws the freezer group, if there is one and it is frozen, with the groups below it.
Status let_die(const Group& group);

// What a freeze would be refused for, without freezing: ERR_NO_FREEZER, ERR_SELF_IN_GROUP.
Status check(const Group& group);

}  // namespace oom::freezer_v1
