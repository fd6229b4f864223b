// One memory cgroup, held by its directory's descriptor and not by its name: every control file is
// opened relative to it, so nothing else can be reached, and a group that was removed and made
// again under the same name is another one (whose files the old descriptor does not see: ENOENT,
// ENODEV).
//
// Immutable once open, therefore usable from any thread; shared by handles, watches and guards. All
// calls here are on the cold path: they open files and may allocate and sleep.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/members/members.h"
#include "core/memcg/memcg.h"
#include "core/sys/fd.h"
#include "core/sys/status.h"

namespace oom {

// What became of a signal.
struct Signalled {
  std::vector<pid_t> pids;
  // Members in other pid namespaces, which the signal could not be sent to.
  size_t unseen = 0;
  // The kernel lists no member any more.
  bool empty = false;
  // Members that the kernel does not list may be left: anonymous memory is charged.
  bool charged = false;
};

struct Occupied {
  // There are members that can be named.
  bool members = false;
  // There are groups below.
  bool below = false;
  // How many members are in other pid namespaces.
  size_t unseen = 0;
  // The kernel lists members in other pid namespaces, so that `unseen` is complete.
  bool everybody = true;
};

class Group {
 public:
  // `path` is absolute, without ".." and not through symbolic links. ENOENT: nothing is there;
  // ERR_NOT_A_MEMORY_CGROUP: something else is.
  static Status open(std::string path, std::shared_ptr<Group>& out);
  // Makes the group with these limits, or nothing at all. Its parent must be a memory cgroup, which
  // is made to give the controller to groups below where it does not.
  static Status create(std::string path, const Limits& limits, std::shared_ptr<Group>& out);
  // The same directly below this one, which is found by its descriptor and not by its path.
  Status create_below(const std::string& name, const Limits& limits,
                      std::shared_ptr<Group>& out) const;

  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  int dir() const { return dir_.get(); }
  const Fd& fd() const { return dir_; }
  const std::string& path() const { return path_; }
  const Memcg& memcg() const { return *memcg_; }
  int version() const { return memcg_->version(); }
  bool is_root() const { return root_; }
  // Device and inode: the same for two handles of one group, never for two groups.
  dev_t device() const { return device_; }
  ino_t inode() const { return inode_; }

  Status usage(uint64_t& bytes) const { return memcg_->usage(dir(), bytes); }
  Status peak(uint64_t& bytes) const { return memcg_->peak(dir(), bytes); }
  Status limits(Limits& out) const { return memcg_->limits(dir(), out); }
  Status set_limits(const Limits& change) const;
  Status counters(Counters& out) const { return memcg_->counters(dir(), out); }
  // Bytes that usage went down by, 0 if it did not.
  Status reclaim(uint64_t bytes, uint64_t& freed) const;

  Status list(bool recursive, members::List& out) const {
    return members::list(dir(), recursive, out);
  }
  // Lists only the members that have a pid in this process's namespace.
  Status pids(bool recursive, std::vector<pid_t>& out) const {
    return members::pids(dir(), recursive, out);
  }
  Status add(pid_t pid) const;
  // Sends the signal once to the members that can be named, but `except`.
  Status signal(int signal, bool recursive, pid_t except, Signalled& out) const;
  // Kills members and those that they fork meanwhile, for some milliseconds: call again until
  // `empty`, or until there are `unseen` ones. Never begins if this process is a member
  // (ERR_SELF_IN_GROUP) or the group is the root (ERR_ROOT_GROUP). `give_killer_back` also in the
  // groups below, if recursive.
  Status kill(bool recursive, bool give_killer_back, Signalled& out) const;

  Status freeze(bool& done) const;
  Status thaw(bool& done) const { return memcg_->thaw(*this, done); }

  // rmdir(2), with `tree` of the descendants first, deepest first. EBUSY while there are members
  // (or, without `tree`, groups below). ENOENT if its path is another group's by now.
  // `about_to` is called with the inode of each directory before it goes.
  Status remove(bool tree, void (*about_to)(uint64_t inode)) const;
  // What keeps it from being removed.
  Status occupied(Occupied& out) const;

 private:
  Group(Fd dir, std::string path, const Memcg* memcg, dev_t device, ino_t inode);
  static Status make(int parent, const std::string& name, std::string path, const Limits& limits,
                     std::shared_ptr<Group>& out);
  static Status make_in(int parent, const Memcg& memcg, const std::string& name, std::string path,
                        const Limits& limits, std::shared_ptr<Group>& out);
  Status kill_once(bool recursive, const members::List& list, Signalled& out) const;
  static Status adopt(Fd dir, std::string path, std::shared_ptr<Group>& out);

  Fd dir_;
  std::string path_;
  const Memcg* memcg_;
  dev_t device_;
  ino_t inode_;
  bool root_;
  // One change of limits at a time: two would see each other's half of memory and memsw.
  mutable std::mutex limits_mutex_;
};

}  // namespace oom
