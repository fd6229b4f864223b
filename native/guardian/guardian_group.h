// One group as the guardian sees it: the same warm files and the same episode machine as the
// sentinel's, with a later deadline while its parent lives.
//
// Runs on the guardian's loop. rules/turn.h decides whether the sentinel or the guardian acts. If
// the parent has ended, an episode in progress keeps its deadline; then the group is restored.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/guardian_link/shared_state.h"
#include "core/memcg/back_end.h"
#include "core/rules/episode.h"
#include "core/rules/hold_line.h"
#include "core/rules/own_oom.h"
#include "core/rules/presence.h"
#include "core/rules/turn.h"
#include "core/sentinel/sentinel.h"
#include "guardian/decider.h"

namespace oom::guardian {

class GuardianGroup;

// What a GuardianGroup needs besides the group's own files: the guarded tree's, or a simulation's.
class Effects {
 public:
  virtual ~Effects() = default;
  virtual int64_t now() = 0;
  // SIGKILL to the largest or to all of the members here and below: 0 or -errno.
  virtual int kill(const GuardianGroup& top, int32_t target, uint32_t& killed) = 0;
  // Thaws the group: a frozen v1 task dies of SIGKILL only after that.
  virtual void thaw(const GuardianGroup& group) = 0;
  // Returns whether a process is left in `top` or below it; true if that cannot be read.
  virtual bool any_member(const GuardianGroup& top) = 0;
  // Runs BackEnd::decide(), which returns only when a victim has ended.
  virtual void ask_kernel(GuardianGroup&, const Asking&) {}
};

// What all groups of one guard share.
struct GroupConfig {
  SharedState* shared = nullptr;
  Effects* effects = nullptr;
  int64_t grace_ns = 0;
  EpisodeConfig episode;
  bool parent_alive = true;
  // Called when a group has been restored or removed.
  void (*on_done)(void*) = nullptr;
  void* on_done_arg = nullptr;
};

class GuardianGroup final : public Source, public std::enable_shared_from_this<GuardianGroup> {
 public:
  // `back_end` is armed; `name` is relative to the guarded group.
  GuardianGroup(const GroupConfig& config, std::unique_ptr<BackEnd> back_end,
                std::shared_ptr<GuardianGroup> above, uint64_t inode, std::string name);
  // The guardian never forks.
  static void* operator new(size_t size) { return ::operator new(size); }

  int attach(Sentinel& sentinel);
  void detach(Sentinel& sentinel);
  void ready(Sentinel& sentinel, int64_t now) override;
  void due(Sentinel& sentinel, int64_t now) override;
  // Before attach(): whether touched() follows each write to the files of the hold.
  void set_writes_reported(bool reported) { writes_reported_ = reported; }
  // A process has written to such a file, or may have.
  void touched(Sentinel& sentinel);

  // The parent has ended: restores the group at once if no episode is running, else after its end.
  void parent_gone(Sentinel& sentinel);
  // Restores the group now, even during an episode, and retries what fails. With `last`, a limit
  // that cannot be lowered because the memory is in use is left.
  void restore(Sentinel& sentinel, bool last);
  // The parent has restored the group itself. `held`: releases it if it has been held again since.
  void dispose(Sentinel& sentinel, bool held);
  bool done() const { return done_; }
  // Returns whether this group is `top` or below it.
  bool below(const GuardianGroup& top) const;
  const std::string& name() const { return name_; }
  const BackEnd& back_end() const { return *back_end_; }
  BackEnd& back_end() { return *back_end_; }
  Decision& decision() { return decision_; }
  const EpisodeMachine& machine() const { return machine_; }

 private:
  int look(Sample& sample);
  int see(Input& input);
  void check_for_members(int64_t now, Sample& sample);
  void step(Sentinel& sentinel, Fact fact, int32_t result = 0, uint32_t killed = 0);
  int64_t next_look(int64_t now, const Input& input);
  void follow_delay(Sentinel& sentinel, int64_t now, const Input& input);
  void hear_of_act(Sentinel& sentinel, int64_t now, const Input& input);
  void hear_of_next(Sentinel& sentinel, int64_t now, const Input& input);
  void hear_of_end(Sentinel& sentinel, const Input& input);
  void drive(Sentinel& sentinel, int64_t now, const Input& input);
  void witness(Do what);
  void apply_grip(int64_t now);
  void carry_out(Sentinel& sentinel, const Actions& actions);
  bool is_parents_turn();
  void fall_back(Sentinel& sentinel);
  int release();
  void thaw();
  void share(SharedSlot* slot);
  void free_members();
  int hold();
  SlotView slot_view() const;
  OwnEpisode own_episode() const;
  bool seen_over() const;
  int64_t deadline(int64_t now);
  bool may_act(int64_t now);
  void tell_of_act(int64_t now);
  int restore_limit();
  void again(Sentinel& sentinel, int64_t ns);
  void finish(Sentinel& sentinel);
  SharedSlot* slot() const { return config_.shared->find(inode_); }

  const GroupConfig& config_;
  std::shared_ptr<GuardianGroup> above_;
  uint64_t inode_;
  std::string name_;
  std::unique_ptr<BackEnd> back_end_;
  Decision decision_;
  EpisodeMachine machine_;
  Switch switch_{Grip::kHeld};
  OwnOom own_{0};
  Turn turn_;
  int64_t acted_at_ = 0;  // when this process or the sentinel has last carried out a fallback
  hold::AskRule ask_;
  Presence presence_;
  uint32_t announced_ = 0;  // the own episode of whose release the slot was told before
  uint32_t counted_ = 0;    // the own episode in which the slot was last told of an act
  uint32_t steps_ = 0;
  uint64_t kills_ = 0;  // as of the last sample
  uint64_t usage_ = 0;
  int64_t unheld_at_ = kNever;  // when the members have to be free
  int64_t wanted_at_ = 0;       // since when it waits although the delay is 0; 0: it does not
  int64_t lively_until_ = 0;    // it is sampled often until then
  bool relieved_ = false;       // the sentinel has seen the end of an OOM that cannot be read here
  bool attached_ = false;
  bool writes_reported_ = false;
  bool released_ = false;
  bool held_ = false;     // again, by this process
  bool leaving_ = false;  // it is restored now, even during an episode
  bool done_ = false;
};

}  // namespace oom::guardian
