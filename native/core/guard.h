// A guard: one call of guard(), the groups it holds (the guarded one and those below it) and what
// they share. Armed and disposed by a thread that may sleep; the groups themselves run on the
// sentinel.
//
// A group is held only when everything that its out-of-memory path needs is open, read, prefaulted
// and locked; when arming fails everything is as it was. Groups made below a held one are born held
// by the kernel: each is taken over as it appears, or given its killer back.
#pragma once

#include <pthread.h>

#include <memory>
#include <string>
#include <unordered_map>

#include "core/ballast.h"
#include "core/guarded_group.h"
#include "core/guardian_link.h"
#include "core/tree.h"

namespace oom {

struct GuardConfig {
  EpisodeConfig episode;
  uint64_t ballast = 0;
  bool take_over = false;
  bool guard_descendants = true;
  int64_t grace_ns = 0;  // 0: no guardian
  int place = -1;        // cgroup.procs of where the guardian shall live, or -1
};

class Guard final : public TreeListener, public GuardianClient {
 public:
  Guard(Sentinel& sentinel, Channel& channel, uint32_t target, const GuardConfig& config);
  ~Guard() override;

  // `root` is the group's directory. On failure trouble() is the group that was the problem,
  // relative to it. ERR_KILLER_DISABLED: it is already.
  Status arm(const std::shared_ptr<const Fd>& root);
  // Puts back what was found, everywhere. Idempotent.
  void dispose();

  // Any thread but the sentinel. `sub` 0: all groups; else only if that episode is still running,
  // unless `episode` is 0: -ESRCH.
  int command(uint32_t sub, uint32_t episode, const Input& input);
  // For all groups, running episodes included.
  void set_delay(int64_t ns);
  // Ends members of the group or of those below, as a plan would: a pid, 0 for all, -1 for the
  // largest. Sleeps. The pids are in `victims`.
  int kill(uint32_t sub, int32_t target, Victims& victims);
  // The consumer has seen the group's removal.
  void forget(uint32_t sub);
  // Relative to the guarded group.
  bool path_of(uint32_t sub, std::string& out);
  uint32_t groups();
  const std::string& trouble() const { return trouble_; }

  // For its groups.
  const GuardConfig& config() const { return config_; }
  Channel& channel() { return channel_; }
  uint32_t target() const { return target_; }
  int release_ballast();
  // Helpers: `top` and all groups below it; the list stands still meanwhile.
  template <class Use>
  void each_below(const GuardedGroup& top, Use&& use) {
    pthread_rwlock_rdlock(&lock_);
    for (auto& [sub, entry] : entries_) {
      for (const GuardedGroup* g = entry.group.get(); g; g = g->parent()) {
        if (g != &top) continue;
        use(*entry.group);
        break;
      }
    }
    pthread_rwlock_unlock(&lock_);
  }

  // The guardian's keeper.
  void guardian_replaced() override;
  void guardian_lost(const Status& why) override;

  // The tree's thread, or the arming one.
  uint32_t appeared(uint32_t parent, const Place& place, int dir) override;
  void vanished(uint32_t sub) override;

 private:
  struct Entry {
    LockedPtr<GuardedGroup> group;
    std::string name;
    uint32_t parent = 0;
    uint32_t children = 0;
    bool forgotten = false;
  };
  Status take(uint32_t parent, const std::string& name, int dir, uint32_t& sub);
  void drop(uint32_t sub);
  bool busy();
  Status call_guardian(int root);
  bool has_guardian() const { return config_.grace_ns > 0 && !config_.episode.dry_run; }
  void put_back(bool held);

  Sentinel& sentinel_;
  Channel& channel_;
  uint32_t target_;
  GuardConfig config_;
  Ballast ballast_;
  Tree tree_{*this};
  Status failure_;
  std::string trouble_;
  enum class State : uint8_t { kNew, kArming, kArmed, kDisposing, kDisposed } state_ = State::kNew;
  pthread_mutex_t life_ = PTHREAD_MUTEX_INITIALIZER;  // arming and disposing exclude each other
  // Guards the list; never taken by the sentinel.
  pthread_rwlock_t lock_ = PTHREAD_RWLOCK_INITIALIZER;
  std::unordered_map<uint32_t, Entry> entries_;
  uint32_t next_sub_ = 1;
  uint32_t guardian_id_ = 0;
};

}  // namespace oom
