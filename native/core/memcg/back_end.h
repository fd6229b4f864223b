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
#include "core/memcg/hold_note.h"
#include "core/rules/sample.h"
#include "core/rules/traits.h"
#include "core/sys/place.h"
#include "core/sys/status.h"

namespace oom {

class Alarm;

// What is known when the kernel is to be asked for a victim. Nothing is done where it is so no
// more.
struct Asking {
  uint64_t base = 0;   // the limit without headroom, bytes
  uint64_t most = 0;   // and with it
  uint64_t kills = 0;  // how many the kernel has killed in the group so far
};

// What this process will have to do with the group.
struct ArmNeeds {
  // It may be among those that starve, and then can open nothing: all is opened in advance.
  bool inside = false;
  // Nothing is held.
  bool dry_run = false;
};

// Where facts come from: notifications and samples.
class FactSource {
 public:
  // Has these events when the kernel has notified of an OOM (v2: or of what may be one).
  virtual int event_fd() const = 0;
  virtual uint32_t event_mask() const { return EPOLLIN; }
  virtual void consume() = 0;
  // Dry run: has the OOM counter grown since the last call?
  virtual bool oom_since_last() { return true; }
  // After consume(), of a group without an episode: until when the next sample can wait, because
  // the last one was fine; 0: it cannot.
  virtual int64_t quiet_until() { return 0; }

  // `need` is raw: also by an ancestor's limit.
  virtual int sample(Sample& out) = 0;
  // Whether the group stands at a limit of its own.
  virtual bool at_limit(const Sample& sample) = 0;
  // Whether one of the groups that arm_above() has found is out of memory.
  virtual bool starved_above() = 0;
  virtual const MemberList& members() const = 0;

 protected:
  ~FactSource() = default;
};

// Takes OOM handling from the kernel, and gives it back.
class Hold {
 public:
  // Where what is to be put back is noted; null: in here.
  virtual void share(HoldNote*) {}
  // Whether the kernel's killer is disabled now (v2: whether a guard has marked the group as held):
  // 0, 1 or -errno.
  virtual int held() = 0;
  // Before the first hold(), on a thread that may sleep: what of it takes time, if anything does.
  virtual int prepare_hold() { return 0; }
  // -EAGAIN: it has to be hold_slowly(), by a helper.
  virtual int hold() = 0;
  virtual int hold_slowly() { return hold(); }
  virtual int release() = 0;
  // Of a group that has been released by a process that had no right to remove the mark (v2).
  virtual void unmark() {}
  // The kernel decides for a moment; hold() again afterwards.
  virtual int pause_hold() { return release(); }
  // After pause_hold(): whether the sentinel or the guardian holds it again: 0, 1 or -errno.
  virtual int held_again() { return held(); }
  // By a helper, after pause_hold(), where the kernel has to be made to decide. Returns when the
  // kernel has chosen a victim, whose memory may come back later, or when none is needed.
  virtual int decide(const Asking&, Alarm&) { return 0; }
  // While held: adapts to limits that other processes have set. -EAGAIN as with hold().
  virtual int follow(const Sample&) { return 0; }
  // While it is out of memory: whether its members must be stopped to hold it to the deadline.
  virtual bool must_freeze(const Sample&, int64_t /*now*/, int64_t /*deadline*/) { return false; }

 protected:
  ~Hold() = default;
};

// Raises the limit for the time of an episode, and restores it.
class HeadroomFiles {
 public:
  // Lifts the limit to this many bytes; does nothing if it is that high already.
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
  // Restores what another process of this library has raised, to `raised_to` at most; `memsw` is
  // what swap was limited to before, 0: as it is.
  virtual int restore_limit_for(uint64_t base, uint64_t memsw, uint64_t raised_to) = 0;

 protected:
  ~HeadroomFiles() = default;
};

// Stops the members. A lock shared with other processes: helpers only.
class Freezer {
 public:
  // What freeze() needs. `path` is the group's absolute path. ERR_NO_FREEZER.
  virtual Status arm_freezer(const std::string& path) = 0;
  // Stops the members, or lets them go on; does not wait until they have. -ENOENT: cannot be done
  // here; -EDEADLK: this process would stop itself.
  virtual int freeze(bool frozen) = 0;
  virtual bool frozen() const = 0;

 protected:
  ~Freezer() = default;
};

// Frees memory without a member's doing. Sleeps: helpers only.
class Reclaimer {
 public:
  virtual Status arm_reclaim(int dir) = 0;
  virtual int reclaim() = 0;
  // SIGKILL for all members and those of all groups below, whether they can be named or not, frozen
  // or not. -EOPNOTSUPP where the kernel has no such thing. Opens a file, and takes a lock shared
  // with other processes.
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
  // In place of arm(): only what kills in the groups above need. Nothing else may be asked of it.
  virtual Status arm_members(const Place& place, int dir, const ArmNeeds& needs) = 0;
  // Also the groups above it, as far as they can be seen: for the topmost one of a guard.
  virtual Status arm_above(int dir) = 0;
};

}  // namespace oom
