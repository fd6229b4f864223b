// What is known of one guarded group: fills in the Input of the machine, from the group's files, the
// groups above it, and what helpers have found out about its members.
//
// Runs on the sentinel; arm()'s dry run reads a sample on the arming thread before that. Whose OOM
// it is decides rules/own_oom.h, whether anybody is left rules/presence.h.
#pragma once

#include <cstdint>

#include "core/guard/group_hold.h"
#include "core/guard/group_jobs.h"
#include "core/memcg/back_end.h"
#include "core/rules/episode.h"
#include "core/rules/own_oom.h"
#include "core/rules/presence.h"

namespace oom {

class Observer {
 public:
  Observer(const EpisodeMachine& machine, FactSource& source, GroupHold& hold, GroupJobs& jobs,
           Observer* parent)
      : machine_(machine), source_(source), hold_(hold), jobs_(jobs), parent_(parent) {}

  // A sample; what it shows of limits is followed before it is judged. 0 or -errno.
  int read(Sample& sample);
  // The same with all that is known besides; false when the group is gone.
  bool observe(Input& input);
  // Tasks wait with room: only another sample can tell why.
  bool undecided() const { return own_.undecided(); }
  // Reads every file of the out-of-memory path once, before it counts.
  int try_out();

  void notified() { presence_.notified(); }
  // In an episode: has a helper see whether it has anybody to wait for. `crowd` as Presence::due().
  void check_members(int64_t now, int64_t crowd);
  void members_checked(uint32_t episode, bool nobody);

  void set_gone() { gone_ = true; }
  bool gone() const { return gone_; }

 private:
  bool starved_above();

  const EpisodeMachine& machine_;
  FactSource& source_;
  GroupHold& hold_;
  GroupJobs& jobs_;
  Observer* parent_;
  // If under_oom is still set 1 s after usage fell below the limit, the waiters missed their wake-up.
  OwnOom own_{1000 * kMs};
  Presence presence_;
  bool gone_ = false;
};

}  // namespace oom
