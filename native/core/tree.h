// The groups below a group: those there are, and new ones as they appear, with no window in between
// (each directory is watched before it is listed; inotify(7) on cgroupfs tells mkdir and rmdir).
//
// What cannot be opened or watched (out of fds, out of inotify watches) is told to the listener and
// tried again a few times a second: a new group must not stay unseen because of a moment's
// shortage. v1 groups that are renamed, rename(2), are seen as new only after the next rescan.
//
// Threads: open(), rescan() and close() belong to any one thread that may sleep; new groups are
// reported on the "oom-scout" thread, one for all trees of the process. A tree's own lock keeps
// both apart. The sentinel never comes here.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

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
  // A file of each group whose changes by anybody are told of, or null; a literal.
  virtual const char* touched_file() { return nullptr; }
  virtual void touched(uint32_t) {}
  // After open(): something in the tree could not be opened or watched. It will be tried again.
  virtual void failed(const Status&) {}
  // A group was found that cannot be looked after now: no fd or no inotify watch can be had for it,
  // so that what appears below it will not be seen before the next try. True: then it is not told
  // of until then either, and this is called for what is below it now.
  virtual bool out_of_sight(int, const Place&, int) { return false; }
};

class Tree {
 public:
  explicit Tree(TreeListener& listener) : listener_(listener) {}
  ~Tree() { close(); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  // Reports the root and everything below it, then keeps watching. -ECANCELED when closed
  // meanwhile.
  Status open(std::shared_ptr<const Fd> root, bool own_thread = true);
  // Without a thread of its own: events() whenever fd() is readable,
  // and rescan() after a while when it is incomplete().
  int fd() const { return inotify_.get(); }
  void events();
  bool incomplete() const { return incomplete_; }
  // Once more over everything: reports what was missed.
  void rescan();
  // No more reports once it has returned.
  void close();
  // For the listener, within appeared(): true when the group is younger than open()'s end.
  bool opened() const { return opened_; }

 private:
  friend class Scout;
  Status open_now(std::shared_ptr<const Fd> root, bool own_thread);
  struct Dir {
    uint64_t inode;
    uint32_t id;
    int watch;            // inotify watch descriptor; -1: there is none yet
    int file_watch = -1;  // of touched_file()
  };
  struct Unexplored {
    uint32_t parent;
    std::string name;  // relative to the root; empty: the root
  };
  void explore();
  void found(uint32_t parent, const std::string& name);
  void keep_spare();
  bool give_up(int err, const std::string& name);
  void lost(const std::string& name);
  void forget(const std::string& name);
  void list(const std::string& name, uint32_t id, Fd dir);
  int watch(const std::string& name, int dir);
  int watch_file(uint32_t id, int dir);
  void trouble(int err, const char* syscall);
  void event(int watch, uint32_t mask, const char* entry);

  TreeListener& listener_;
  std::shared_ptr<const Fd> root_;
  Fd inotify_;
  Status failure_;       // the first of open()
  bool opened_ = false;  // written before the scout knows the tree
  bool closed_ = false;  // under life_
  Fd spare_[2];          // given up where a group that is to be refused could not even be opened
  bool scouted_ = false;
  std::atomic<bool> closing_{false};                  // cuts a long walk short
  std::atomic<bool> incomplete_{false};               // something is to be tried again
  pthread_mutex_t life_ = PTHREAD_MUTEX_INITIALIZER;  // open() and close() exclude each other
  pthread_mutex_t lock_ = PTHREAD_MUTEX_INITIALIZER;  // the maps, while they are walked
  std::map<std::string, Dir> dirs_;                   // by name relative to the root
  std::unordered_map<int, std::string> names_;        // by inotify watch descriptor
  std::unordered_map<int, uint32_t> files_;           // ids by that of their touched_file()
  std::vector<Unexplored> unexplored_;
};

}  // namespace oom
