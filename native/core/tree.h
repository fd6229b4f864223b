// The groups below a group: those there are, and new ones as they appear, with no window in between
// (each directory is watched before it is listed; inotify(7) on cgroupfs tells mkdir and rmdir).
//
// Threads: open(), rescan() and close() belong to any one thread that may sleep; new groups are
// reported on the "oom-scout" thread, one for all trees of the process. A tree's own lock keeps
// both apart. The sentinel never comes here.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <unordered_map>

#include "core/fd.h"
#include "core/place.h"
#include "core/result.h"

namespace oom {

class TreeListener {
 public:
  virtual ~TreeListener() = default;
  // A group was found; `dir` is open only during the call, `parent` what the listener returned for
  // the group above. Returns a number above 0 for it; 0: not wanted, nothing below it either.
  virtual uint32_t appeared(uint32_t parent, const Place& place, int dir) = 0;
  // It is gone from the tree; what its own files and events have to say may still come.
  virtual void vanished(uint32_t id) = 0;
  // A group was found that cannot be looked after: no fd or no inotify watch (a negative errno) can
  // be had for it, so that what appears below it will not be seen.
  virtual void out_of_sight(int, const Place&, int) {}
};

class Tree {
 public:
  explicit Tree(TreeListener& listener) : listener_(listener) {}
  ~Tree() { close(); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  // Reports the root and everything below it, then keeps watching.
  Status open(std::shared_ptr<const Fd> root, bool own_thread = true);
  // Without a thread of its own: events() whenever fd() is readable. Handles so many batches at
  // most.
  int fd() const { return inotify_.get(); }
  void events(int batches = std::numeric_limits<int>::max());
  // Once more over everything: reports what was missed.
  void rescan();
  // No more reports once it has returned.
  void close();

 private:
  friend class Scout;
  Status open_now(std::shared_ptr<const Fd> root, bool own_thread);
  struct Dir {
    std::string name;  // relative to the root; empty: the root
    uint64_t inode;
    uint32_t id;
  };
  void found(uint32_t parent, const std::string& name);
  void keep_spare();
  void blind(int err, const std::string& name);
  void lost(const std::string& name);
  void list(const Dir& dir, int fd);

  TreeListener& listener_;
  std::shared_ptr<const Fd> root_;
  Fd inotify_;
  Fd spare_[2];  // given up where a group that is to be refused could not even be opened
  bool closed_ = false;
  bool scouted_ = false;
  pthread_mutex_t life_ = PTHREAD_MUTEX_INITIALIZER;  // open() and close() exclude each other
  pthread_mutex_t lock_ = PTHREAD_MUTEX_INITIALIZER;
  std::unordered_map<int, Dir> by_watch_;  // inotify watch descriptor
  std::unordered_map<std::string, int> watch_by_name_;
};

}  // namespace oom
