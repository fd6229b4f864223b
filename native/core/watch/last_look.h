// A look in the last moment: the kernel's counters go with their group, and on a busy machine the
// sentinel may not have come to read what they say. Where this process removes a group itself, all
// that watch it look once more before.
//
// Threads: made and unmade, and look_once_more(), on any that may wait, never on the sentinel;
// listen() wherever listening begins and ends.
#pragma once

#include <atomic>
#include <cstdint>

namespace oom {

class Sentinel;

class LastLook {
 public:
  // Returns when all have looked. The group is told by its directory's inode.
  static void look_once_more(uint64_t inode);

 protected:
  explicit LastLook(uint64_t inode);
  ~LastLook();
  LastLook(const LastLook&) = delete;
  LastLook& operator=(const LastLook&) = delete;

  // Null: no longer. Not made or unmade while listening.
  void listen(Sentinel* sentinel) { sentinel_.store(sentinel); }
  // On the sentinel.
  virtual void last_look(Sentinel& sentinel, int64_t now) = 0;

 private:
  uint64_t inode_;
  std::atomic<Sentinel*> sentinel_{nullptr};
  LastLook* next_ = nullptr;
};

}  // namespace oom
