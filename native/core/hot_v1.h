// HotGroup for cgroup v1: memory.oom_control disables the kernel's killer, tasks then wait in their
// page faults. Kernel Documentation/admin-guide/cgroup-v1/memory.rst, section 10.
#pragma once

#include "core/hot.h"

namespace oom {

class HotGroupV1 final : public HotGroup {
 public:
  Status arm(int dir) override;
  int event_fd() const override { return eventfd_.get(); }
  void consume() override;
  int sample(Sample& out) override;
  bool at_limit(const Sample& sample) override;
  int held() override;
  int hold() override;
  int let_go() override;
  int lend_to(uint64_t bytes) override;
  void forgive() override { own_limit_ = own_memsw_ = 0; }
  int repay() override;
  // Puts back what another process has lent; 0 and 0: nothing.
  int repay_to(uint64_t limit, uint64_t memsw);
  uint64_t own_limit() const { return own_limit_; }
  uint64_t own_memsw() const { return own_memsw_; }
  int freeze(bool frozen) override;
  int reclaim() override;
  int procs_fd() const override { return procs_.get(); }

 private:
  int write_limit(const Fd& file, uint64_t bytes);

  Fd eventfd_, oom_control_, usage_, limit_, procs_, force_empty_;
  Fd freezer_;                    // freezer.state, where the group has one
  Fd memsw_usage_, memsw_limit_;  // absent without swap accounting
  uint64_t own_limit_ = 0;        // before headroom was lent; 0: none is
  uint64_t set_limit_ = 0;        // as we have set it
  uint64_t own_memsw_ = 0;        // 0: was not touched
};

}  // namespace oom
