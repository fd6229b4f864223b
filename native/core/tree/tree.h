// The groups below a group: those there are, and new ones as they appear, with no window in between
// (each directory is watched before it is listed; inotify(7) on cgroupfs reports mkdir and rmdir).
//
// inotify is a convenience: a directory that cannot be watched (another program of this user has
// all instances, or all watches are used) is swept instead (forest.h has the interval). Its
// subdirectories are counted by its links, so that a sweep of a directory is one stat(2) as long as
// nothing has changed. What cannot be opened (out of fds) is reported to the listener and tried
// again a few times a second. v1 groups that are renamed, rename(2), are seen as new only after the
// next rescan.
//
// Threads: open(), rescan() and close() belong to any one thread that may sleep; new groups are
// reported on the thread that serves the forest. A tree's own lock keeps both apart. The sentinel
// never comes here.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/sys/fd.h"
#include "core/sys/place.h"
#include "core/sys/status.h"
#include "core/tree/inotify_hub.h"

namespace oom {

class TreeListener {
 public:
  virtual ~TreeListener() = default;
  // A group was found; `dir` is open only during the call, `parent` what the listener returned for
  // the group above. Returns a number above 0 for it; 0: not wanted, nothing below it either.
  virtual uint32_t appeared(uint32_t parent, const Place& place, int dir) = 0;
  // The group has left the tree; events of its own files may still come.
  virtual void vanished(uint32_t id) = 0;
  // The files of each group whose changes by any process are reported: literals, the rest null.
  static constexpr size_t kTouchedFiles = 3;
  using TouchedFiles = std::array<const char*, kTouchedFiles>;
  virtual TouchedFiles touched_files() { return {}; }
  // One was changed, or may have been: events were lost.
  virtual void touched(uint32_t) {}
  // After open(): something in the tree could not be opened. It will be tried again.
  virtual void failed(const Status&) {}
  // A group was found that cannot be opened now: there is no fd for it. If this returns true, it is
  // reported once there is one, and this is called for the groups below it now.
  virtual bool out_of_sight(int, const Place&, int) { return false; }
};

class Tree final : private InotifyHub::Subscriber {
 public:
  explicit Tree(TreeListener& listener) : listener_(listener) {}
  ~Tree() { close(); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  // Reports the root and everything below it, then keeps watching. -ECANCELED when closed
  // meanwhile. `on_tree_thread`: the tree thread serves the forest, else the caller.
  Status open(std::shared_ptr<const Fd> root, bool on_tree_thread = true);
  // Once more over everything: reports what was missed.
  void rescan();
  // No more reports once it has returned.
  void close();
  // For the listener, within appeared(): true when the group is younger than open()'s end.
  bool opened() const { return opened_; }
  // The same: true when each change of its touched_files() will be reported.
  bool touches_watched() const { return touches_watched_; }

 private:
  friend class Forest;
  Status open_now(std::shared_ptr<const Fd> root, bool on_tree_thread);
  struct Dir {
    uint64_t inode;
    uint32_t id;
    uint32_t tag;  // what it is watched under, even; its file: the number after that
    int watch;     // the hub's number; -1: there is none, it is swept
    // Of touched_files(); -1: there is none.
    std::array<int, TreeListener::kTouchedFiles> file_watches;
    uint32_t below = 0;  // how many directories in it are known
  };
  struct Unexplored {
    uint32_t parent;
    std::string name;  // relative to the root; empty: the root
  };
  struct Mail {
    uint32_t tag;
    uint32_t mask;
    std::string entry;
  };
  using Dirs = std::map<std::string, Dir>;

  // InotifyHub::Subscriber.
  void notified(uint32_t tag, uint32_t mask, const char* name) override;
  void overflowed() override;

  // For the forest, with its lock.
  bool has_mail();
  bool next_mail(Mail& mail);
  bool events();  // a piece of the mail: whether there is more
  void sweep();
  static int incomplete_trees() { return incomplete_trees_.load(); }
  static int unwatched_trees() { return unwatched_trees_.load(); }

  void rescan_now();
  void touch_all();
  void explore();
  void found(uint32_t parent, const std::string& name);
  bool give_up(int err, const std::string& name);
  void lost(const std::string& name);
  void forget(const std::string& name);
  void list(const std::string& name, uint32_t id, Fd dir);
  void sweep_one(const std::string& name);
  void watch(Dir& dir, int fd);
  void unwatch(Dir& dir);
  void unwatched(int change);
  void set_incomplete(bool value);
  Dir* above(const std::string& name);
  void trouble(int err, const char* syscall);
  void event(const Mail& mail);
  void clear();

  static std::atomic<int> incomplete_trees_, unwatched_trees_;

  TreeListener& listener_;
  std::shared_ptr<const Fd> root_;
  Status failure_;       // the first of open()
  bool opened_ = false;  // written before the forest knows the tree
  bool closed_ = false;  // under life_
  bool on_tree_thread_ = false;
  bool spares_ = false;                              // it holds on to the spare fds
  std::atomic<bool> closing_{false};                 // cuts a long walk short
  std::atomic<bool> incomplete_{false};              // something is to be tried again
  std::atomic<int> unwatched_{0};                    // how many directories are swept
  std::mutex life_;                                  // open() and close() exclude each other
  std::mutex lock_;                                  // the maps, while they are walked
  Dirs dirs_;                                        // by name relative to the root
  std::unordered_map<uint32_t, std::string> names_;  // by tag
  uint32_t last_tag_ = 0;
  bool touches_watched_ = false;  // of the group found last
  std::vector<Unexplored> unexplored_;

  std::mutex mail_lock_;
  // Events of inotify, until it is this tree's turn; from mail_at_ on. No deque, which takes 600
  // bytes while it is empty: most trees are one group.
  std::vector<Mail> mail_;
  size_t mail_at_ = 0;
  bool missed_ = false;  // some of it was lost

  // The forest's, with its lock.
  size_t place_ = 0;
  bool planted_ = false;
  bool ready_ = false;
};

}  // namespace oom
