// BackEnd for cgroup v1: memory.oom_control disables the kernel's killer, tasks then wait in their
// page faults. Kernel Documentation/admin-guide/cgroup-v1/memory.rst, section 10.
#pragma once

#include <atomic>
#include <memory>

#include "core/memcg/back_end.h"
#include "core/memcg/freezer_v1_warm.h"

namespace oom {

inline constexpr const char* kOomControl = "memory.oom_control";
// Enables the kernel's killer in a group. Cold path.
Status enable_killer(int dir);

class OomControlBackEnd final : public BackEnd {
 public:
  static constexpr Traits kTraits = {};
  const Traits& traits() const override { return kTraits; }
  Status arm(const Place& place, int dir, const ArmNeeds& needs) override;
  Status arm_members(const Place& place, int dir, const ArmNeeds& needs) override {
    return members_.arm(place, dir, needs.inside);
  }
  Status arm_above(int dir) override;
  Status arm_reclaim(int dir) override;
  Status arm_freezer(const std::string& path) override { return freezer_v1::find(path, freezer_); }
  int event_fd() const override { return eventfd_.get(); }
  void consume() override;
  int sample(Sample& out) override;
  bool at_limit(const Sample& sample) override;
  bool starved_above() override;
  int held() override;
  int hold() override;
  int release() override;
  int raise_to(uint64_t bytes) override;
  bool raised() const override { return set_limit_.load() != 0; }
  int restore_limit(uint64_t base) override;
  int restore_limit_for(uint64_t base, uint64_t memsw, uint64_t raised_to) override;
  uint64_t raised_to() const override { return set_limit_.load(); }
  uint64_t own_memsw() const override { return own_memsw_.load(); }
  // memory.memsw.limit_in_bytes before headroom raised it; 0: there is no such file.
  uint64_t memsw_before() override;
  int freeze(bool frozen) override;
  bool frozen() const override { return frozen_.load(); }
  int reclaim() override;
  const MemberList& members() const override { return members_; }

 private:
  static constexpr int kAbove = 8;

  bool memsw_limited() const;
  int raise_swap_too(uint64_t bytes);
  void restore_swap(uint64_t base);

  Fd eventfd_, oom_control_, usage_, limit_;
  // Closed if the kernel has no swap accounting.
  Fd memsw_limit_;
  // Open only if memory and swap were limited when the group was armed.
  Fd memsw_usage_;
  // Open only if the plan reclaims.
  Fd force_empty_;
  MemberList members_;
  // memory.oom_control, from the parent up; all guards of the process have the same ones.
  std::shared_ptr<const Fd> above_[kAbove];
  int above_fds_[kAbove] = {};
  int above_count_ = 0;
  // How far below its limit a full group may stand, in bytes.
  uint64_t slack_ = 0;
  freezer_v1::FreezerGroup freezer_;
  std::atomic<bool> frozen_{false};
  // What headroom has changed. The sentinel raises and a helper restores, both at the same time
  // when one episode follows another: the helper sees by this count that the sentinel has raised
  // again.
  std::atomic<uint32_t> raises_{0};
  // The limit as raise_to() has set it; 0: nothing is raised.
  std::atomic<uint64_t> set_limit_{0};
  // memory.memsw.limit_in_bytes from before, and as raise_to() has set it; 0: it was not changed.
  std::atomic<uint64_t> own_memsw_{0};
  std::atomic<uint64_t> set_memsw_{0};
};

}  // namespace oom
