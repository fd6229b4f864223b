// A last sample of a group's counters: the kernel removes them with the group, and on a busy
// machine the sentinel may not have read them yet. Before this process removes a group itself, all
// watches of it take a last sample.
//
// Threads: construction, destruction and look_once_more() on any that may wait, never on the
// sentinel; listen() wherever listening begins and ends.
#pragma once

#include <atomic>
#include <cstdint>

namespace oom {

class Sentinel;

class LastLook {
 public:
  // Returns when all watches have sampled. `inode` is that of the group's directory.
  static void look_once_more(uint64_t inode);

 protected:
  explicit LastLook(uint64_t inode);
  ~LastLook();
  LastLook(const LastLook&) = delete;
  LastLook& operator=(const LastLook&) = delete;

  // Null: stops listening. Listening ends before destruction.
  void listen(Sentinel* sentinel) { sentinel_.store(sentinel); }
  // On the sentinel.
  virtual void last_look(Sentinel& sentinel, int64_t now) = 0;

 private:
  uint64_t inode_;
  std::atomic<Sentinel*> sentinel_{nullptr};
  LastLook* next_ = nullptr;
};

}  // namespace oom
