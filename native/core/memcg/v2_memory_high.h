// BackEnd for cgroup v2: the group is held below memory.max by memory.high, and stopped by
// cgroup.freeze where that is not enough. hold_line.h says where the line is.
// Documentation/admin-guide/cgroup-v2.rst, "Memory Interface Files".
//
// What the code relies on: memory.events has POLLPRI until it is read again; a write to memory.high
// or memory.max that raises them returns at once, one that lowers them below usage reclaims first,
// and memory.max then kills: helpers only. While such a write lasts its file description is locked,
// therefore helpers open one of their own for it, unless this process may starve with the group.
#pragma once

#include <atomic>
#include <string>

#include "core/memcg/back_end.h"
#include "core/memcg/v2_mark.h"
#include "core/memcg/v2_reclaimable.h"
#include "core/rules/hold_line.h"
#include "core/sys/units.h"

namespace oom {

class MemoryHighBackEnd final : public BackEnd {
 public:
  static constexpr Traits kTraits = {.notifies_of_more = true,
                                     .idle_sample_ns = 500 * kMs,
                                     .prepares = true,
                                     .kernel_must_be_asked = true,
                                     .waits_in_fault = false,
                                     .thaw_to_kill = false};
  const Traits& traits() const override { return kTraits; }
  explicit MemoryHighBackEnd(const HoldConfig& config) : config_(config), rule_(config.freeze) {}

  Status arm(const Place& place, int dir, const ArmNeeds& needs) override;
  Status arm_members(const Place& place, int dir, const ArmNeeds& needs) override {
    return members_.arm(place, dir, needs.inside);
  }
  Status arm_above(int) override { return Status::success(); }
  Status arm_reclaim(int dir) override;
  Status arm_freezer(const std::string& path) override;
  int event_fd() const override { return events_.get(); }
  uint32_t event_mask() const override { return EPOLLPRI; }
  void consume() override;
  bool oom_since_last() override;
  int64_t quiet_until() override;
  void share(HoldNote* note) override { note_.store(note ? note : &own_note_); }
  int sample(Sample& out) override;
  // An ancestor's limit does not show here.
  bool at_limit(const Sample&) override { return true; }
  bool starved_above() override { return false; }
  int held() override;
  int prepare_hold() override { return hold_slowly(); }
  int hold() override { return hold(high_, true); }
  int hold_slowly() override;
  int release() override;
  void unmark() override { hold::remove_mark(dir_); }
  int pause_hold() override;
  int held_again() override;
  int decide(const Asking& asking, Alarm& alarm) override;
  int follow(const Sample& sample) override;
  bool must_freeze(const Sample& sample, int64_t now, int64_t deadline) override;
  int raise_to(uint64_t bytes) override;
  bool raised() const override { return set_max_.load() != 0; }
  uint64_t raised_to() const override { return set_max_.load(); }
  int restore_limit(uint64_t base) override;
  int restore_limit_for(uint64_t base, uint64_t memsw, uint64_t raised_to) override;
  int freeze(bool frozen) override;
  bool frozen() const override { return frozen_.load(); }
  int reclaim() override;
  int kill_tree() const override;
  const MemberList& members() const override { return members_; }

 private:
  void write_mark();
  int adopt(uint64_t& high);
  HoldNote& note() const { return *note_.load(); }
  bool noted() const { return note().own_high.load() != 0; }
  uint64_t own_high() const { return note().own_high.load() - 1; }
  void keep_high(uint64_t high);
  // Where memory.high belongs while the group is held with this limit.
  uint64_t held_high(uint64_t max) const;
  int limit(uint64_t& out);
  uint64_t squeezed(uint64_t max) const { return hold::squeeze(max, config_, ahead_); }
  int restore_max();
  int ask(const Asking& asking, Alarm& alarm, uint64_t least, int64_t& turn);
  bool gives_back(uint64_t usage);
  int count_kills(uint64_t& out);
  int hold(const Fd& file, bool quickly);
  int set_high(const Fd& file, uint64_t high);
  int lower_high(uint64_t max);
  int judge(Sample& out);
  bool stopped();

  // A file that only helpers use: `kept` if it is open, else opened now, for as long as this lives.
  class Opened {
   public:
    Opened(const Place& place, const Fd& kept, const char* file, int flags);
    explicit operator bool() const { return bool(file_); }
    int error() const { return file_.get(); }
    const Fd& operator*() const { return file_; }

   private:
    Fd own_;
    const Fd& file_;
  };

  HoldConfig config_;
  Place place_;
  Fd own_dir_;    // where the guard's group has none already
  int dir_ = -1;  // for the mark, and for cgroup.kill
  hold::FreezeRule rule_;
  hold::PollBackoff poll_backoff_;
  hold::DipFilter dip_filter_;
  HoldNote own_note_;
  std::atomic<HoldNote*> note_{&own_note_};
  Fd events_, usage_, max_, high_;  // the sentinel's
  Fd local_events_;                 // where nothing is held
  // The helpers', if this process may starve with the group.
  Fd slow_max_, slow_high_, freeze_, reclaim_;
  MemberList members_;
  Reclaimable reclaimable_;
  std::string own_path_;  // within the hierarchy; empty: it may not be frozen
  uint64_t ahead_ = 0;    // what all CPUs may have charged ahead
  uint64_t ooms_ = 0, kills_ = 0, told_kills_ = 0;
  std::atomic<bool> yielded_{false};   // the kernel decides
  bool measuring_ = false;             // rule_ has an episode
  std::atomic<bool> frozen_{false};    // what this process has frozen, from before that on
  std::atomic<bool> stands_{false};    // and has really
  std::atomic<bool> thawed_{false};    // what the other one has frozen
  std::atomic<uint64_t> seen_max_{0};  // memory.max, when it was last read
  std::atomic<uint64_t> set_high_{0};  // memory.high as we have set it; 0: we have not
  // What headroom has changed: as in OomControlBackEnd.
  std::atomic<uint32_t> loans_{0};
  std::atomic<uint64_t> set_max_{0};
};

}  // namespace oom
