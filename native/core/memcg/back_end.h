// How a guard sees and holds one group: the one interface behind which v1 and v2 differ for a
// guard. A back-end has five parts, each an interface of its own; traits() says what it is like.
//
// A back-end keeps the group's files warm: all that the out-of-memory path reads and writes is
// opened and read once when the guard is armed, because in a starved group neither works any more
// (the kernel charges a file and its first read buffer to the caller). After arm() every method
// returns within microseconds unless it says otherwise, allocates nothing, and may be called from
// any one thread at a time. Results are 0 or -errno; -ENODEV: the group is gone.
#pragma once

#include <sys/epoll.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "core/members/member_list.h"
#include "core/members/stop_table.h"
#include "core/members/victims.h"
#include "core/memcg/hold_note.h"
#include "core/rules/sample.h"
#include "core/rules/traits.h"
#include "core/sys/codes.h"
#include "core/sys/place.h"
#include "core/sys/status.h"

namespace oom {

class Alarm;

// The state in which the kernel is to choose a victim: if the group has changed since, decide()
// does nothing.
struct Asking {
  // The limit without headroom, in bytes.
  uint64_t base = 0;
  // The limit with headroom.
  uint64_t most = 0;
  // How many members the kernel has killed so far.
  uint64_t kills = 0;
};

// What this process will have to do with the group.
struct ArmNeeds {
  // This process may be a member: it starves with the group and can then open no file, so all files
  // are opened in advance.
  bool inside = false;
  // The guard only observes and never holds the group.
  bool dry_run = false;
};

// Where facts come from: notifications and samples.
class FactSource {
 public:
  // Becomes ready with event_mask() when the kernel notifies of an OOM (v2: or of what may be one).
  virtual int event_fd() const = 0;
  virtual uint32_t event_mask() const { return EPOLLIN; }
  virtual void consume() = 0;
  // Dry run: has the OOM counter grown since the last call?
  virtual bool oom_since_last() { return true; }
  // After consume(), outside an episode: until when the next sample can wait because the last one
  // was fine. 0: sample now.
  virtual int64_t quiet_until() { return 0; }

  // `need` is raw: it is also set when an ancestor's limit is what the group starves at.
  virtual int sample(Sample& out) = 0;
  // Adds Sample::stalls: 0 or -errno. Before it once, when the guard is armed: arm_stalls(),
  // ERR_CGROUP_UNSUPPORTED where the kernel has no such information of a group, as on v1.
  virtual Status arm_stalls(int /*dir*/) {
    return code::fail(code::kCgroupUnsupported, "memory.pressure");
  }
  virtual int stalls(Sample&) { return -EOPNOTSUPP; }
  // Whether the group stands at a limit of its own.
  virtual bool at_limit(const Sample& sample) = 0;
  // Whether one of the groups that arm_above() has found is out of memory.
  virtual bool starved_above() = 0;
  virtual const MemberList& members() const = 0;
  // When to sample next at the latest, without an episode; kNever: what traits() says.
  virtual int64_t next_look(int64_t /*now*/) { return kNever; }
  // Which members a fallback or a plan may kill; null: every one.
  virtual const Eligible* eligible() const { return nullptr; }

 protected:
  ~FactSource() = default;
};

// Takes OOM handling from the kernel (hold) and returns it to the kernel (release).
class Hold {
 public:
  // Where the values to restore are noted, for the guardian to read; null: in this object.
  virtual void share(HoldNote*) {}
  // Where the processes that are stopped are noted, for the guardian to read; none: in this object.
  virtual void note_stops(const StopTable&) {}
  // Whether the kernel's killer is disabled now (v2: whether a guard has marked the group as held):
  // 0, 1 or -errno.
  virtual int held() = 0;
  // Runs before the first hold(), on a thread that may sleep: does the part of it that sleeps.
  virtual int prepare_hold() { return 0; }
  // -EAGAIN: holding would sleep; a helper must call hold_slowly().
  virtual int hold() = 0;
  virtual int hold_slowly() { return hold(); }
  virtual int release() = 0;
  // Removes the mark of a group that was released by a process without the right to do so (v2).
  virtual void unmark() {}
  // Lets the kernel's killer decide for a moment; hold() follows.
  virtual int pause_hold() { return release(); }
  // After pause_hold(): whether the sentinel or the guardian holds the group again: 0, 1 or -errno.
  virtual int held_again() { return held(); }
  // Makes the kernel choose a victim, after pause_hold(), where it does not do so by itself.
  // Helpers only. Returns once a victim is chosen (its memory may be freed later) or none is
  // needed.
  virtual int decide(const Asking&, Alarm&) { return 0; }
  // While held: adapts to limits that other processes have set. -EAGAIN as with hold().
  virtual int follow(const Sample&) { return 0; }
  // Whether the members must be stopped, or the group would not be held until the deadline.
  virtual bool must_freeze(const Sample&, int64_t /*now*/, int64_t /*deadline*/) { return false; }

 protected:
  ~Hold() = default;
};

// Raises the limit for the time of an episode, and restores it.
class HeadroomFiles {
 public:
  // Whether raise_to() can work: for a plan with headroom in it.
  virtual Status arm_headroom(int /*dir*/) { return Status::success(); }
  // Raises the limit to this many bytes; does nothing if it is that high already.
  virtual int raise_to(uint64_t bytes) = 0;
  // Whether something raised has not been restored.
  virtual bool raised() const = 0;
  // What the limit was raised to at most, and what swap was limited to before (0: untouched).
  virtual uint64_t raised_to() const { return 0; }
  virtual uint64_t own_memsw() const { return 0; }
  virtual uint64_t memsw_before() { return 0; }
  // Restores the limit to `base`; -EBUSY while more is in use: then as low as it goes, unless it
  // was raised again meanwhile. A limit that another process has set since is left alone. Sleeps in
  // reclaim: helpers only, one at a time.
  virtual int restore_limit(uint64_t base) = 0;
  // Restores a limit that another process of this library has raised. A limit above `raised_to` was
  // set by another program since and is left alone. `memsw`: the swap limit from before, 0: keep.
  virtual int restore_limit_for(uint64_t base, uint64_t memsw, uint64_t raised_to) = 0;

 protected:
  ~HeadroomFiles() = default;
};

// Stops the members. Takes a kernel lock that other processes hold too: helpers only.
class Freezer {
 public:
  // What freeze() needs. `path` is the group's absolute path. ERR_NO_FREEZER.
  virtual Status arm_freezer(const std::string& path) = 0;
  // Freezes or thaws the members without waiting until all have stopped or resumed. -ENOENT: there
  // is no freezer; -EDEADLK: this process would stop itself.
  virtual int freeze(bool frozen) = 0;
  virtual bool frozen() const = 0;

 protected:
  ~Freezer() = default;
};

// Frees memory without the members' help. Sleeps: helpers only.
class Reclaimer {
 public:
  virtual Status arm_reclaim(int dir) = 0;
  virtual int reclaim() = 0;
  // Sends SIGKILL to all members here and below, also to frozen ones and to those in other pid
  // namespaces. -EOPNOTSUPP if the kernel has no cgroup.kill. Opens a file, and takes a kernel lock
  // that other processes hold too.
  virtual int kill_tree() const { return -EOPNOTSUPP; }

 protected:
  ~Reclaimer() = default;
};

class BackEnd : public FactSource,
                public Hold,
                public HeadroomFiles,
                public Freezer,
                public Reclaimer {
 public:
  virtual ~BackEnd() = default;
  virtual const Traits& traits() const = 0;

  // `dir` is the group's directory, open during the call. Opens, reads once, asks the kernel for
  // notifications. What only helpers need is opened when they need it, unless `inside`.
  // ERR_NOT_A_MEMORY_CGROUP: it has no limit of its own (v2), and its members are those of the next
  // group above that has.
  virtual Status arm(const Place& place, int dir, const ArmNeeds& needs) = 0;
  // Replaces arm() for a group that is only known: opens the member list, for kills in the groups
  // above, and nothing else.
  virtual Status arm_members(const Place& place, int dir, const ArmNeeds& needs) = 0;
  // Also the groups above it, as far as they can be seen: for the topmost one of a guard.
  virtual Status arm_above(int dir) = 0;
};

}  // namespace oom
