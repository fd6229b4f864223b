// The warm files of one guarded group: everything that the out-of-memory path reads and writes,
// opened and read once when the guard is armed, because in a starved group neither works any more
// (the kernel charges a file and its first read buffer to the caller).
//
// The one place where v1 and v2 differ for a guard: what to open, how to hold, how to tell whether
// it is still out of memory, how to let go. After arm() every method returns within microseconds
// unless it says otherwise, allocates nothing and may be called from any one thread at a time.
#pragma once

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "core/members/member_list.h"
#include "core/memcg/hold_note.h"
#include "core/rules/sample.h"
#include "core/rules/traits.h"
#include "core/sys/fd.h"
#include "core/sys/place.h"
#include "core/sys/small_file.h"
#include "core/sys/status.h"

namespace oom {

class Alarm;

// What is known when the kernel is to be asked for a victim. Nothing is done where it is so no
// more.
struct Asking {
  uint64_t base = 0;   // the limit without what was lent
  uint64_t most = 0;   // and with it
  uint64_t kills = 0;  // how many the kernel has killed in the group so far
};

// What this process will have to do with the group.
struct HotNeeds {
  // It may be among those that starve, and then can open nothing: all is opened in advance.
  bool inside = false;
  // Nothing is held.
  bool dry_run = false;
};

class HotGroup {
 public:
  virtual ~HotGroup() = default;
  virtual const Traits& traits() const = 0;

  // Arming. `dir` is the group's directory, open during the call. Opens, reads once, asks the
  // kernel for notifications. What only helpers need is opened when they need it, unless `inside`.
  // ERR_NOT_A_MEMORY_CGROUP: it has no limit of its own (v2), and its members are those of the next
  // group above that has.
  virtual Status arm(const Place& place, int dir, const HotNeeds& needs) = 0;
  // In place of arm(): only what kills in the groups above need. Nothing else may be asked of it.
  virtual Status arm_members(const Place& place, int dir, const HotNeeds& needs) = 0;
  // Also the groups above it, as far as they can be seen: for the topmost one of a guard.
  virtual Status arm_above(int dir) = 0;
  // Also what reclaim() needs.
  virtual Status arm_reclaim(int dir) = 0;
  // Also what freeze() needs. `path` is the group's absolute path. ERR_NO_FREEZER.
  virtual Status arm_freezer(const std::string& path) = 0;

  // Has these events when the kernel has told of an OOM (v2: or of what may be one).
  virtual int event_fd() const = 0;
  virtual uint32_t event_mask() const { return EPOLLIN; }
  virtual void consume() = 0;
  // Whether it has told of an OOM since this was asked last, where nothing is held.
  virtual bool told_oom() { return true; }
  // After consume(), of a group without an episode: until when a look can wait, because it was fine
  // a moment ago; 0: it cannot.
  virtual int64_t can_wait() { return 0; }

  // Where what is to be put back is noted; null: in here.
  virtual void share(HoldNote*) {}

  // 0, or -errno; -ENODEV: the group is gone. `starved` is raw: also by an ancestor's limit.
  virtual int sample(Sample& out) = 0;
  // Whether the group stands at a limit of its own.
  virtual bool at_limit(const Sample& sample) = 0;
  // Whether one of those that arm_above() has found is out of memory.
  virtual bool starved_above() = 0;
  // Whether the kernel's killer is disabled now (v2: whether somebody has marked the group as
  // held): 0, 1 or -errno.
  virtual int held() = 0;
  // Before the first hold(), on a thread that may sleep: what of it takes time, if anything does.
  virtual int prepare_hold() { return 0; }
  // -EAGAIN: it has to be hold_slowly(), by a helper.
  virtual int hold() = 0;
  virtual int hold_slowly() { return hold(); }
  virtual int let_go() = 0;
  // Of a group that has been let go of: what says that it is held, where whoever has done it had no
  // right to remove that any more (v2: the mark).
  virtual void unmark() {}
  // Lets the kernel decide for the moment; hold() again afterwards.
  virtual int yield() { return let_go(); }
  // After yield(): whether somebody holds it again: 0, 1 or -errno.
  virtual int held_again() { return held(); }
  // Whether the kernel has to be made to decide: decide(), by a helper, after yield(). Returns when
  // the kernel has chosen a victim, whose memory may come back later, or when none is needed.
  virtual int decide(const Asking&, Alarm&) { return 0; }
  // While held: goes along with limits that others have set. -EAGAIN as with hold().
  virtual int follow(const Sample&) { return 0; }
  // While it is out of memory: whether its members must be stopped to hold it to the deadline.
  virtual bool must_freeze(const Sample&, int64_t /*now*/, int64_t /*deadline*/) { return false; }
  // Lends headroom: lifts the limit to so much; nothing is done if it is that high already.
  virtual int lend_to(uint64_t bytes) = 0;
  // Whether something lent has not been put back.
  virtual bool lent() const = 0;
  // What the limit was lent to at most, and what swap was limited to before (0: untouched).
  virtual uint64_t lent_to() const { return 0; }
  virtual uint64_t own_memsw() const { return 0; }
  virtual uint64_t memsw_before() { return 0; }
  // Puts the limit back to `base`; -EBUSY while more is in use: then as low as it goes, unless it
  // was lent again meanwhile. A limit that somebody else has set since is left alone. Sleeps in
  // reclaim: helpers only, one at a time.
  virtual int repay(uint64_t base) = 0;
  // Puts back what another process has lent, of whose loan the limit was raised to `lent_to` at
  // most; `memsw` is what swap was limited to before, 0: as it is.
  virtual int repay_for(uint64_t base, uint64_t memsw, uint64_t lent_to) = 0;
  // Asks the kernel to reclaim; sleeps: helpers only.
  virtual int reclaim() = 0;
  // Stops the members, or lets them go on; does not wait until they have. -ENOENT: cannot be done
  // here; -EDEADLK: this process would stop itself. A lock shared with others: helpers only.
  virtual int freeze(bool frozen) = 0;
  virtual bool frozen() const = 0;
  // SIGKILL for all members and those of all groups below, whether they can be named or not, frozen
  // or not. -EOPNOTSUPP where the kernel has no such thing. Opens a file, and takes a lock shared
  // with others: helpers only.
  virtual int kill_tree() const { return -EOPNOTSUPP; }
  virtual const MemberList& members() const = 0;
};

}  // namespace oom
