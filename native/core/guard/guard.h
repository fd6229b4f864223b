// A guard: one call of guard(), the groups it holds (the guarded one and those below it) and what
// they share. Armed and disposed by a thread that may sleep; the groups themselves run on the
// sentinel.
//
// A group is held only when everything that its out-of-memory path needs is open, read, prefaulted
// and locked; if arming fails, all changes are undone. The kernel creates groups below a held one
// as held: the guard takes each over as it appears, or releases it.
//
// Order of locks: life_, the guardian link's or the tree's, lock_, the group list's; the sentinel
// takes none of them.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/guard/guard_config.h"
#include "core/guard/guard_groups.h"
#include "core/guard/guardian_registration.h"
#include "core/guard/own_membership.h"
#include "core/guard/running_episode.h"
#include "core/guardian_link/link.h"
#include "core/memcg/back_end_kind.h"
#include "core/memcg/group.h"
#include "core/tree/tree.h"

namespace oom {

class Guard final : public TreeListener, public GuardianClient {
 public:
  Guard(Sentinel& sentinel, Channel& channel, uint32_t target, const GuardConfig& config);
  ~Guard() override;

  // On failure trouble() is the group that was the problem, relative to `group`.
  // ERR_KILLER_DISABLED: it is already; ERR_NO_FREEZER, ERR_SELF_IN_GROUP: for a plan that freezes.
  Status arm(const std::shared_ptr<const Group>& group);
  // Releases all groups and restores what was found in them. Idempotent.
  void dispose();

  // Any thread but the sentinel. kExtend, kYield, kUserRaised to one episode: -ESRCH if that has
  // ended, or is past its deadline.
  int command(uint32_t sub, uint32_t episode, const Input& input);
  // For all groups, running episodes included.
  void set_delay(int64_t ns);
  // The limit of a group in an episode, headroom left aside; false: it has ended.
  bool base_limit(uint32_t sub, uint32_t episode, uint64_t& out);
  // Kills members of the group or of those below, as a plan would: a pid, 0 for all, -1 for the
  // largest. Sleeps. The pids are in `victims`. -ECANCELED: the episode has ended.
  int kill(uint32_t sub, uint32_t episode, int32_t target, int signal, Victims& victims);
  // The consumer has seen the group's removal.
  void forget(uint32_t sub);
  // Relative to the guarded group.
  bool path_of(uint32_t sub, std::string& out);
  // How many are guarded.
  uint32_t groups();
  const std::string& trouble() const { return trouble_; }

  // The guardian's keeper.
  void guardian_replaced() override;
  void guardian_lost(const Status& why) override;

  // The tree's thread, or the arming one.
  uint32_t appeared(uint32_t parent, const Place& place, int dir) override;
  void vanished(uint32_t sub) override;
  TouchedFiles touched_files() override { return kind_->touched_files(false); }
  void touched(uint32_t sub) override;
  bool out_of_sight(int err, const Place& place, int dir) override;

 private:
  enum class State : uint8_t { kNew, kArming, kArmed, kDisposing, kDisposed };
  Status prepare(const std::shared_ptr<const Group>& group);
  Status open_all(const std::shared_ptr<const Group>& group);
  Status hold_all();
  Status refusal(int err) const;
  Status take(uint32_t parent, const Place& place, int dir, uint32_t& sub);
  Status enter(GuardEntry& entry, const Place& place, int dir);
  void release_all(bool failed);
  void close_down(bool failed);
  bool busy();
  std::optional<RunningEpisode> running(uint32_t sub, uint32_t episode);

  Sentinel& sentinel_;
  Channel& channel_;
  uint32_t target_;
  GuardConfig config_;
  std::shared_ptr<const Group> group_;
  const BackEndKind* kind_ = nullptr;  // from arm() on
  bool locked_ = false;
  // A group has been held, so groups below may be born held.
  bool held_ = false;
  // hold_all() has met a group that another process holds.
  bool refused_ = false;
  GuardianRegistration guardian_;
  Tree tree_{*this};
  Status failure_;
  std::string trouble_;
  std::mutex life_;  // arming and disposing exclude each other
  std::mutex lock_;  // the rest
  State state_ = State::kNew;
  OwnMembership own_;
  GuardGroups groups_;
};

}  // namespace oom
