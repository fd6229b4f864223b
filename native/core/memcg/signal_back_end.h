// BackEnd for groups of which nothing can be written, v1 and v2: the members are stopped by signals
// at a line below the limit (rules/signal_line.h), and go on when the episode has ended.
//
// It is best effort: the kernel kills at the limit as ever, and what is allocated before the last
// member has stopped must fit between line and limit. No system call but reads, and signals to
// processes of this user.
#pragma once

#include <atomic>
#include <string>

#include "core/members/live_processes.h"
#include "core/memcg/back_end.h"
#include "core/memcg/signal_facts.h"
#include "core/prepared/locked.h"
#include "core/rules/hold_line.h"
#include "core/rules/signal_line.h"
#include "core/sys/units.h"

namespace oom {

class SignalBackEnd final : public BackEnd, private Eligible {
 public:
  static constexpr Traits kTraits = {.notifies_of_more = true,
                                     .idle_sample_ns = 100 * kMs,
                                     .waits_in_fault = false,
                                     .stands_past_line = true,
                                     .thaw_to_kill = false};
  const Traits& traits() const override { return kTraits; }
  SignalBackEnd(int version, const HoldConfig& config) : version_(version), config_(config) {}

  Status arm(const Place& place, int dir, const ArmNeeds& needs) override;
  Status arm_members(const Place& place, int dir, const ArmNeeds& needs) override {
    return members_.arm(place, dir, needs.inside);
  }
  Status arm_above(int) override { return Status::success(); }
  Status arm_headroom(int dir) override;
  Status arm_reclaim(int dir) override;
  Status arm_freezer(const std::string&) override { return Status::success(); }
  int event_fd() const override;
  uint32_t event_mask() const override { return version_ == 2 ? EPOLLPRI : EPOLLIN; }
  void consume() override;
  bool oom_since_last() override;
  int64_t next_look(int64_t now) override;
  int sample(Sample& out) override;
  Status arm_stalls(int dir) override { return facts_.arm_stalls(dir); }
  int stalls(Sample& out) override { return facts_.stalls(out); }
  bool at_limit(const Sample&) override { return true; }
  bool starved_above() override { return false; }
  const MemberList& members() const override { return members_; }
  const Eligible* eligible() const override { return this; }
  bool may_be_victim(pid_t pid) const override {
    return stops_ && stops_->stopper.would_choose(pid);
  }

  void note_stops(const StopTable& table) override;
  int held() override { return 0; }
  int hold() override;
  int hold_slowly() override;
  int release() override;
  int pause_hold() override { return release(); }
  int held_again() override { return 1; }
  int follow(const Sample& sample) override;

  int raise_to(uint64_t) override { return -EROFS; }
  bool raised() const override { return false; }
  int restore_limit(uint64_t) override { return 0; }
  int restore_limit_for(uint64_t, uint64_t, uint64_t) override { return 0; }

  int freeze(bool frozen) override;
  bool frozen() const override { return stops_ && stops_->stopper.any(); }
  int reclaim() override { return -EROFS; }

 private:
  // Apart: as large as all else that a guarded group has.
  struct Stops {
    Stops(const Place& place, Who who) : processes(place), stopper(processes, who) {}
    LiveProcesses processes;
    Stopper stopper;
    // Where there is no guardian.
    StopEntries<512> own;
  };

  const int version_;
  const HoldConfig config_;
  SignalFacts facts_;
  // v1: nothing ever comes of it.
  Fd quiet_;
  MemberList members_;
  LockedPtr<Stops> stops_;
  signals::Rounds rounds_;
  uint64_t inode_ = 0;
  uint64_t ahead_ = 0;
  uint64_t ooms_ = 0;
  int64_t pause_ = 0;
  bool near_ = false;
  bool dry_run_ = false;
  std::atomic<bool> held_{false};
};

}  // namespace oom
