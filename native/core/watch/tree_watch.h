// A watch of a tree: one OomWatch for the root and each group below it, new ones as they appear.
//
// Threads: open() and close() on any one that may sleep, appeared() also on the tree thread,
// path_of() and forget() on the consumer's. The sentinel runs the groups' watches and never takes
// the lock here.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/memcg/memcg.h"
#include "core/prepared/locked.h"
#include "core/sentinel/sentinel.h"
#include "core/tree/tree.h"
#include "core/watch/above_cache.h"
#include "core/watch/subscriptions.h"
#include "core/watch/watch.h"
#include "core/watch/watch_kind.h"

namespace oom {

class TreeWatch final : public TreeListener {
 public:
  // Records carry `target`, and as `sub` the number of the group: the root's is 1.
  TreeWatch(Sentinel& sentinel, Channel& channel, uint32_t target, uint32_t wanted);
  ~TreeWatch() override { close(); }
  TreeWatch(const TreeWatch&) = delete;
  TreeWatch& operator=(const TreeWatch&) = delete;

  // All groups are armed when it returns. -ECANCELED when closed meanwhile.
  Status open(std::shared_ptr<const Fd> root, const Memcg& memcg);
  // After open(): reads the base lines that arming has left out, a few groups at a time. Those of a
  // tree of up to 64 groups have been read by open().
  void settle();
  // No more records once it has returned. Idempotent.
  void close();
  // Relative to the root; false: no such group (any more).
  bool path_of(uint32_t sub, std::string& out);
  // The consumer has seen the group's removal: how many are left. Its watch is freed by tidy(), or
  // with others.
  size_t forget(uint32_t sub);
  void tidy();
  // What could not be watched after open(), and was reported with a record of kTrouble.
  Status trouble();

  uint32_t appeared(uint32_t parent, const Place& place, int dir) override;
  // The group's watch reports its removal, in order with its events.
  void vanished(uint32_t sub) override;
  void failed(const Status& status) override;

 private:
  Status watch(uint32_t parent, const Place& place, int dir, uint32_t& sub);
  void free_forgotten();

  Sentinel& sentinel_;
  Channel& channel_;
  uint32_t target_;
  uint32_t wanted_;
  const WatchKind* kind_ = nullptr;  // of the root, and so of all
  std::mutex lock_;
  std::unordered_map<uint32_t, LockedPtr<OomWatch>> watches_;
  std::vector<LockedPtr<OomWatch>> forgotten_;
  uint32_t next_sub_ = kRootSub;
  AboveCache above_;
  std::vector<std::pair<uint32_t, uint32_t>> unsettled_;  // the group above, and the group
  size_t settled_ = 0;                                    // how many of these have been
  bool closed_ = false;
  Status failure_;
  LockedPtr<NoticeSource> notice_;  // from open() on
  Tree tree_{*this};
};

}  // namespace oom
