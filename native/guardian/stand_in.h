// One group as the guardian sees it: the same warm files and the same episode machine as the
// sentinel's, with a later deadline while its parent lives.
//
// Runs on the guardian's only thread. Rules kept here: the sentinel's deadline, however often it is
// moved, is waited for; a fallback that the sentinel has claimed is its own, unless it does not
// follow; without a parent an episode in progress keeps its deadline, then everything is put back.
#pragma once

#include <cstdint>

#include "core/episode.h"
#include "core/hot_v1.h"
#include "core/sentinel.h"
#include "core/shared_state.h"
#include "core/victims.h"

namespace oom::guardian {

// What all groups of one guard share.
struct Terms {
  SharedState* shared = nullptr;
  Victims* victims = nullptr;
  int64_t grace_ns = 0;
  EpisodeConfig episode;
  bool parent_alive = true;
  // Called when a group has been put back or is gone.
  void (*on_done)(void*) = nullptr;
  void* on_done_arg = nullptr;
};

class StandIn final : public Source {
 public:
  StandIn(const Terms& terms, StandIn* above, uint64_t inode);

  Status arm(int dir);
  int attach(Sentinel& sentinel);
  void detach(Sentinel& sentinel);
  void ready(Sentinel& sentinel, int64_t now) override;
  void due(Sentinel& sentinel, int64_t now) override;
  void set_delay(Sentinel& sentinel, int64_t ns);

  // The parent is gone: at once if no episode is running, else after its end.
  void parent_gone(Sentinel& sentinel);
  // Whatever is running: now.
  void put_back(Sentinel& sentinel);
  bool done() const { return done_; }
  bool contains(pid_t pid) const;

 private:
  int look(Sample& sample);
  void step(Sentinel& sentinel, Fact fact, int64_t now, int32_t result = 0, uint32_t killed = 0);
  int64_t deadline();
  bool may_act(int64_t now);
  void repay();
  void finish(Sentinel& sentinel);
  SharedSlot* slot() const { return terms_.shared->find(inode_); }

  const Terms& terms_;
  StandIn* above_;
  uint64_t inode_;
  HotGroupV1 hot_;
  EpisodeMachine machine_;
  int64_t waived_until_ = 0;  // the sentinel has claimed the fallback: its time to follow
  bool attached_ = false;
  bool let_go_ = false;
  bool done_ = false;
};

}  // namespace oom::guardian
