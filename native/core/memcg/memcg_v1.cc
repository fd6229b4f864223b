// Kernel contract: memory.limit_in_bytes and memsw.limit_in_bytes take bytes and round down to
// whole pages, "-1" is no limit, which reads as the largest number of whole pages in a signed long.
// A limit below what is in use makes the kernel reclaim, and is EBUSY when that is not enough.
// Before Linux 5.11 a group counts the groups below it only with memory.use_hierarchy, which is
// inherited, and which systemd sets in the root; it can be changed while there are none.
// Limits of the root are EINVAL. memory.force_empty reclaims what it can (any value; root: EINVAL).
#include "core/memcg/memcg_v1.h"

#include <charconv>
#include <climits>
#include <utility>

#include "core/memcg/freezer_v1.h"
#include "core/memcg/v1_oom_control.h"
#include "core/sys/codes.h"
#include "core/sys/control_file.h"
#include "core/sys/kernel_release.h"
#include "core/sys/page.h"
#include "core/sys/parse.h"
#include "core/sys/units.h"

namespace oom {

namespace {

constexpr const char* kLimit = "memory.limit_in_bytes";
constexpr const char* kMemsw = "memory.memsw.limit_in_bytes";
constexpr const char* kHierarchy = "memory.use_hierarchy";

Status read_limit(int dir, const char* name, uint64_t& out) {
  uint64_t bytes = 0;
  if (Status s = control::read_number(dir, name, bytes); !s.ok()) return s;
  out = bytes >= whole_pages(LONG_MAX, page_size()) ? kUnlimited : bytes;
  return Status::success();
}

Status write_limit_v1(int dir, const char* name, uint64_t bytes) {
  return bytes == kUnlimited ? control::write(dir, name, "-1")
                             : control::write_number(dir, name, bytes);
}

Status read_limits(int dir, LimitsV1& out) {
  if (Status s = read_limit(dir, kLimit, out.max); !s.ok()) return s;
  // Without swap accounting (swapaccount=0) there are no memsw files.
  if (!control::has(dir, kMemsw)) return Status::success();
  uint64_t memsw = 0;
  if (Status s = read_limit(dir, kMemsw, memsw); !s.ok()) return s;
  // Two reads are no snapshot: a change in between must not make a negative amount of swap.
  out.memsw = memsw < out.max ? out.max : memsw;
  return Status::success();
}

Status read_oom_control(int dir, parse::OomControl& out) {
  return control::fields(dir, kOomControl, out);
}

class V1 final : public Memcg {
 public:
  int version() const override { return 1; }

  // cgroup.sane_behavior is a file of hierarchies' roots only (CFTYPE_ONLY_ON_ROOT).
  bool is_root(int dir) const override { return control::has(dir, "cgroup.sane_behavior"); }

  Status usage(int dir, uint64_t& bytes) const override {
    return control::read_number(dir, "memory.usage_in_bytes", bytes);
  }

  Status peak(int dir, uint64_t& bytes) const override {
    return control::read_number(dir, "memory.max_usage_in_bytes", bytes);
  }

  Status limits(int dir, Limits& out) const override {
    LimitsV1 now{};
    if (Status s = read_limits(dir, now); !s.ok()) return s;
    out.max = now.max;
    if (now.memsw) out.swap_max = *now.memsw == kUnlimited ? kUnlimited : *now.memsw - now.max;
    return Status::success();
  }

  Status set_limits(int dir, const Limits& change) const override {
    if (change.high) return code::fail(code::kCgroupUnsupported, "memory.high");
    if (change.oom_group) return code::fail(code::kCgroupUnsupported, "memory.oom.group");
    LimitsV1 now{};
    LimitPlan plan;
    if (Status s = read_limits(dir, now); !s.ok()) return s;
    if (Status s = plan_limits(now, change, page_size(), plan); !s.ok()) return s;
    for (int i = 0; i < plan.count; i++) {
      const LimitWrite& write = plan.writes[i];
      Status s = write_limit_v1(dir, write.file, write.to);
      if (s.ok()) continue;
      while (i-- > 0) (void)write_limit_v1(dir, plan.writes[i].file, plan.writes[i].from);
      return s;
    }
    return Status::success();
  }

  Status counters(int dir, Counters& out) const override {
    parse::OomControl control;
    uint64_t failcnt = 0;
    if (Status s = read_oom_control(dir, control); !s.ok()) return s;
    if (Status s = control::read_number(dir, "memory.failcnt", failcnt); !s.ok()) return s;
    out.oom_kill = control.oom_kill;
    out.under_oom = control.under_oom;
    out.max = failcnt;
    return Status::success();
  }

  Status reclaim(int dir, uint64_t) const override {
    return control::write(dir, "memory.force_empty", "0");
  }

  Status give_to_children(int, bool& changed) const override {
    changed = false;
    return Status::success();
  }
  void take_from_children(int) const override {}
  bool counts_below(int dir) const override {
    if (sys::always_hierarchical()) return true;
    uint64_t counts = 1;
    return !control::read_number(dir, kHierarchy, counts).ok() || counts != 0;
  }
  Status count_below(int dir) const override {
    return counts_below(dir) ? Status::success() : control::write(dir, kHierarchy, "1");
  }
  int kill_tree(int) const override { return -EOPNOTSUPP; }
  bool has_anonymous(int dir, bool below) const override {
    char buf[8192];
    std::string_view text;
    uint64_t bytes = 0;
    return control::read(dir, "memory.stat", buf, sizeof buf, text).ok() &&
           parse::key_value(text, below ? "total_rss" : "rss", bytes) == 0 && bytes > 0;
  }

  Status freeze(const Group& group, bool& done) const override {
    return freezer_v1::freeze(group, done);
  }
  Status thaw(const Group& group, bool& done) const override {
    return freezer_v1::thaw(group, done);
  }
  Status let_die(const Group& group) const override { return freezer_v1::let_die(group); }

  Status give_killer_back(int dir) const override {
    parse::OomControl control;
    if (Status s = read_oom_control(dir, control); !s.ok()) return s;
    if (!control.oom_kill_disable.value_or(false)) return Status::success();
    return enable_killer(dir);
  }
};

constexpr V1 kMemcgV1;

}  // namespace

const Memcg& memcg_v1() { return kMemcgV1; }

}  // namespace oom
