// BackEnd for cgroup v2: the group is held below memory.max by memory.high, and stopped by
// cgroup.freeze where that is not enough. hold_line.h says where the line is.
// Documentation/admin-guide/cgroup-v2.rst, "Memory Interface Files".
//
// What the code relies on: memory.events has POLLPRI until it is read again; a write to memory.high
// or memory.max that raises them returns at once, one that lowers them below usage reclaims first,
// and memory.max then kills: helpers only. While such a write lasts its file description is locked,
// so helpers open the file for themselves, unless this process may starve with the group.
#pragma once

#include <atomic>
#include <string>

#include "core/memcg/back_end.h"
#include "core/memcg/v2_mark.h"
#include "core/memcg/v2_reclaimable.h"
#include "core/memcg/v2_stalls.h"
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
  Status arm_stalls(int dir) override { return stalls_.arm(dir); }
  int stalls(Sample& out) override;
  // In v2 the group's files do not show that an ancestor's limit was hit.
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
  // The value of memory.high while the group is held and memory.max is `max`.
  uint64_t held_high(uint64_t max) const;
  int limit(uint64_t& out);
  uint64_t lowered_limit(uint64_t max) const { return hold::lowered_limit(max, config_, ahead_); }
  int restore_max();
  int ask(const Asking& asking, Alarm& alarm, uint64_t least, int64_t& turn);
  bool victim_freed(uint64_t usage);
  int count_kills(uint64_t& out);
  int hold(const Fd& file, bool quickly);
  int set_high(const Fd& file, uint64_t high);
  int lower_high(uint64_t max);
  int judge(Sample& out);
  bool stopped();

  // A file that only helpers use: `kept` if that is open, else opened for this object's lifetime.
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
  // Open only if the guard's Place has no descriptor of the directory.
  Fd own_dir_;
  // For the mark, and for cgroup.kill.
  int dir_ = -1;
  hold::FreezeRule rule_;
  hold::PollBackoff poll_backoff_;
  hold::DipFilter dip_filter_;
  HoldNote own_note_;
  std::atomic<HoldNote*> note_{&own_note_};
  // Used by the sentinel.
  Fd events_, usage_, max_, high_;
  // Dry run only.
  Fd local_events_;
  // Used by helpers; open only if this process may starve with the group.
  Fd slow_max_, slow_high_, freeze_, reclaim_;
  MemberList members_;
  Reclaimable reclaimable_;
  GroupStalls stalls_;
  // The group's path within the hierarchy; empty: this object may not freeze it.
  std::string own_path_;
  // Bytes that all CPUs together may have charged in advance.
  uint64_t ahead_ = 0;
  uint64_t ooms_ = 0, kills_ = 0, reported_kills_ = 0;
  // Between pause_hold() and hold(): the kernel's killer decides.
  std::atomic<bool> yielded_{false};
  // rule_ has been started for the running OOM.
  bool measuring_ = false;
  // This process freezes the group: set before the write.
  std::atomic<bool> frozen_{false};
  // The write that freezes has succeeded.
  std::atomic<bool> stands_{false};
  // This process has thawed the group, which another one had frozen.
  std::atomic<bool> thawed_{false};
  // memory.max, when it was last read.
  std::atomic<uint64_t> seen_max_{0};
  // memory.high as this process has set it; 0: it has not.
  std::atomic<uint64_t> set_high_{0};
  // What headroom has changed, as in OomControlBackEnd; set_max_ 0: nothing is raised.
  std::atomic<uint32_t> raises_{0};
  std::atomic<uint64_t> set_max_{0};
};

}  // namespace oom
