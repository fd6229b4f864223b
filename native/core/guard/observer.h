// What is known of one guarded group: fills in the Input of the machine, from the group's files,
// the groups above it, and what helpers have found out about its members.
//
// Runs on the sentinel; before that, try_out() runs on the arming thread. rules/own_oom.h decides
// whose OOM it is, rules/presence.h whether any process is left.
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

  // Takes a sample and adapts the hold to the limits in it before it is judged. 0 or -errno.
  int read(Sample& sample);
  // Takes a sample and adds all else that is known; false if the group is gone.
  bool observe(Input& input);
  // Tasks wait although usage is below the limit: another sample must show why.
  bool undecided() const { return own_.undecided(); }
  // Reads every file of the out-of-memory path once, while failing is still harmless.
  int try_out();

  void notified() { presence_.notified(); }
  // In an episode: starts a job that checks whether any process is left. `crowd` as
  // Presence::due().
  void check_members(int64_t now, int64_t crowd);
  void members_checked(uint32_t episode, bool deserted);

  void set_gone() { gone_ = true; }
  bool gone() const { return gone_; }

 private:
  bool starved_above();

  const EpisodeMachine& machine_;
  FactSource& source_;
  GroupHold& hold_;
  GroupJobs& jobs_;
  Observer* parent_;
  // If under_oom is still set 1 s after usage fell below the limit, the waiters missed their
  // wake-up.
  OwnOom own_{1000 * kMs};
  Presence presence_;
  bool gone_ = false;
};

}  // namespace oom
