// What cgroup v1 and v2 do differently, behind one interface: memcg_v1.cc has the one, memcg_v2.cc
// the other, and nothing outside the implementations asks for the version. All calls are on the
// cold path, from any thread.
#pragma once

#include <cstdint>
#include <optional>

#include "core/rules/limits.h"
#include "core/sys/status.h"

namespace oom {

class Group;

// A field is empty if this version of cgroup has no such counter.
struct Counters {
  std::optional<uint64_t> oom;
  std::optional<uint64_t> oom_kill;
  std::optional<uint64_t> oom_group_kill;
  std::optional<uint64_t> high;
  std::optional<uint64_t> max;
  std::optional<bool> under_oom;
};

// `dir` is a group's directory.
class Memcg {
 public:
  virtual int version() const = 0;
  // The root of the hierarchy itself, which has no limits; the root of a container's mount is not.
  virtual bool is_root(int dir) const = 0;

  virtual Status usage(int dir, uint64_t& bytes) const = 0;
  // The most that was ever in use. ERR_CGROUP_UNSUPPORTED where this kernel does not keep it.
  virtual Status peak(int dir, uint64_t& bytes) const = 0;
  virtual Status limits(int dir, Limits& out) const = 0;
  // All or nothing: if one write fails, the limits written before it are restored.
  virtual Status set_limits(int dir, const Limits& change) const = 0;
  virtual Status counters(int dir, Counters& out) const = 0;
  // Makes the kernel reclaim about `bytes`, or less if less is reclaimable. v1 takes no amount and
  // reclaims all it can.
  virtual Status reclaim(int dir, uint64_t bytes) const = 0;

  // The first call starts it, later calls poll: `done` once every member has stopped (or resumed).
  virtual Status freeze(const Group& group, bool& done) const = 0;
  virtual Status thaw(const Group& group, bool& done) const = 0;
  // Makes sure that groups made below `dir` are memory groups; `changed`: they were not before.
  virtual Status give_to_children(int dir, bool& changed) const = 0;
  virtual void take_from_children(int dir) const = 0;
  // Whether the group's limit counts the groups below it, and how a new group comes to do so.
  virtual bool counts_below(int dir) const = 0;
  virtual Status count_below(int dir) const = 0;

  // SIGKILL for all members and those of all groups below, at once. -EOPNOTSUPP where the kernel
  // has no such thing: then one by one.
  virtual int kill_tree(int dir) const = 0;
  // Whether anonymous memory is charged to it (with `below`: or to a group below): a sign of
  // members where the kernel does not list all of them. Those that were moved away may have left
  // it, too.
  virtual bool has_anonymous(int dir, bool below) const = 0;
  // After a SIGKILL: undoes what keeps members from dying of it.
  virtual Status let_die(const Group& group) const = 0;
  // Enables the kernel's killer: no member waits for user space any more when memory is short.
  virtual Status give_killer_back(int dir) const = 0;

 protected:
  ~Memcg() = default;  // the implementations are constants
};

// The implementation for a directory, if that is a memory cgroup: its file system and its files say
// so. ERR_NOT_A_MEMORY_CGROUP if it is not.
Status recognise(int dir, const Memcg*& out);

}  // namespace oom
