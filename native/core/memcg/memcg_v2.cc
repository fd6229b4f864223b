// Kernel contract: limits take bytes (rounded down to whole pages) or "max". A write to memory.max
// below what is in use reclaims and then kills before it returns, unless the file is opened with
// O_NONBLOCK (6.16; older kernels take the flag and ignore it); one to memory.high reclaims and
// never kills. memory.peak and memory.reclaim came with 5.19; the latter gives EAGAIN if it reclaimed
// less than requested. cgroup.kill (5.14) takes "1" and kills the whole subtree, frozen members and
// forks in progress included. cgroup.freeze (5.2) stops the subtree in the background, cgroup.events says when. The root has
// none of these files but memory.stat (5.8).
#include "core/memcg/memcg_v2.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "core/members/members.h"
#include "core/memcg/group.h"
#include "core/memcg/v2_mark.h"
#include "core/sys/codes.h"
#include "core/sys/control_file.h"
#include "core/sys/fd.h"
#include "core/sys/field_file.h"
#include "core/sys/page.h"
#include "core/sys/parse.h"
#include "core/sys/small_file.h"
#include "core/sys/units.h"

namespace oom {

namespace {

constexpr const char* kMax = "memory.max";
constexpr const char* kHigh = "memory.high";
constexpr const char* kSwapMax = "memory.swap.max";
constexpr const char* kOomGroup = "memory.oom.group";
constexpr const char* kCurrent = "memory.current";
constexpr const char* kPeak = "memory.peak";
constexpr const char* kReclaim = "memory.reclaim";
constexpr const char* kSubtree = "cgroup.subtree_control";
constexpr const char* kFreeze = "cgroup.freeze";

bool absent(int err) { return err == -ENOENT; }

// Reads a limit that not every kernel has.
Status read_optional(int dir, const char* file, std::optional<uint64_t>& out) {
  uint64_t value = 0;
  Status s = control::read_number(dir, file, value);
  if (s.ok()) out = value;
  return absent(s.err) ? Status::success() : s;
}

Status write_limit_v2(int dir, const char* file, uint64_t value) {
  char number[24] = "max";
  const char* end = number + 3;
  if (value != kUnlimited) end = std::to_chars(number, number + sizeof number, value).ptr;
  int opened = sys::open_at(dir, file, O_WRONLY | O_NONBLOCK);
  if (opened < 0) return Status::of(opened, "open", file);
  Fd fd(opened);
  return Status::of(sys::write_small(fd.get(), {number, static_cast<size_t>(end - number)}),
                    "write", file);
}

// Reclaims where there is no memory.reclaim: a memory.high below usage makes the kernel do it
// before the write returns. Members that allocate meanwhile are throttled.
Status reclaim_by_high(int dir, uint64_t bytes) {
  uint64_t high = 0, usage = 0;
  if (Status s = control::read_number(dir, kHigh, high); !s.ok()) return s;
  if (Status s = control::read_number(dir, kCurrent, usage); !s.ok()) return s;
  uint64_t below = usage - std::min(usage, bytes);
  if (below >= high) return Status::success();
  if (Status s = control::write_number(dir, kHigh, below); !s.ok()) return s;
  return write_limit_v2(dir, kHigh, high);
}

Status reclaim_now(int dir, uint64_t bytes) {
  if (bytes == kUnlimited) {
    if (Status s = control::read_number(dir, kCurrent, bytes); !s.ok()) return s;
  }
  if (!control::has(dir, kReclaim)) return reclaim_by_high(dir, bytes);
  Status s = control::write_number(dir, kReclaim, bytes);
  return s.err == -EAGAIN ? Status::success() : s;
}

// Before memory.max goes down: the kernel would kill where reclaim is not enough. EBUSY, as on v1.
Status make_room(int dir, uint64_t max) {
  constexpr int kTries = 5;
  for (int i = 0;; i++) {
    uint64_t usage = 0;
    if (Status s = control::read_number(dir, kCurrent, usage); !s.ok()) return s;
    if (usage <= max) return Status::success();
    if (i == kTries) return Status::of(-EBUSY, "write", kMax);
    if (Status s = reclaim_now(dir, usage - max); !s.ok()) return s;
  }
}

Status read_events(int dir, const char* file, parse::MemoryEvents& out) {
  return control::fields(dir, file, out);
}

Status read_frozen(int dir, bool& out) {
  parse::CgroupEvents events{};
  if (Status s = control::fields(dir, "cgroup.events", events); !s.ok()) return s;
  out = events.frozen.value_or(false);
  return Status::success();
}

// Whether a group above this one is to be frozen.
bool frozen_above(int dir) {
  Fd at;
  for (;;) {
    Fd up(openat(at ? at.get() : dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    uint64_t frozen = 0;
    if (!up || !control::read_number(up.get(), kFreeze, frozen).ok()) return false;
    if (frozen != 0) return true;
    at = std::move(up);
  }
}

Status has_freezer(int dir) {
  return control::has(dir, kFreeze) || !control::has(dir, kCurrent)
             ? Status::success()
             : code::fail(code::kNoFreezer, kFreeze);
}

class V2 final : public Memcg {
 public:
  int version() const override { return 2; }

  // cgroup.type is a file of every group but the root; that of a namespace is none.
  bool is_root(int dir) const override {
    return !control::has(dir, "cgroup.type") && control::has(dir, "cgroup.procs");
  }

  Status usage(int dir, uint64_t& bytes) const override {
    if (!is_root(dir)) return control::read_number(dir, kCurrent, bytes);
    constexpr const char* kStat = "memory.stat";
    parse::Field fields[] = {{"anon"}, {"file"}};
    Fd stat(sys::open_at(dir, kStat, O_RDONLY));
    if (!stat) return Status::of(stat.release(), "open", kStat);
    int err = read_fields(stat.get(), fields, std::size(fields));
    const auto& [anon, file] = fields;
    if (err == 0 && (!anon.value || !file.value)) err = -ENOENT;
    if (err != 0) return Status::of(err, "read", kStat);
    bytes = *anon.value + *file.value;
    return Status::success();
  }

  // Absent in the root, and before 5.19; a removed group has no files at all.
  Status peak(int dir, uint64_t& bytes) const override {
    Status s = control::read_number(dir, kPeak, bytes);
    bool has_group = absent(s.err) && control::has(dir, "cgroup.procs");
    return has_group ? code::fail(code::kCgroupUnsupported, kPeak) : s;
  }

  Status limits(int dir, Limits& out) const override {
    if (is_root(dir)) {
      out.max = kUnlimited;
      return Status::success();
    }
    uint64_t max = 0;
    std::optional<uint64_t> together;
    if (Status s = control::read_number(dir, kMax, max); !s.ok()) return s;
    out.max = max;
    if (Status s = read_optional(dir, kHigh, out.high); !s.ok()) return s;
    if (Status s = read_optional(dir, kSwapMax, out.swap_max); !s.ok()) return s;
    if (Status s = read_optional(dir, kOomGroup, together); !s.ok()) return s;
    if (together) out.oom_group = *together != 0;
    return Status::success();
  }

  Status set_limits(int dir, const Limits& change) const override {
    Limits now;
    LimitPlan plan;
    if (Status s = limits(dir, now); !s.ok()) return s;
    if (Status s = plan_limits_v2(now, change, page_size(), plan); !s.ok()) return s;
    for (int i = 0; i < plan.count; i++) {
      const LimitWrite& write = plan.writes[i];
      Status s;
      if (write.file == kMax && write.to < write.from) s = make_room(dir, write.to);
      if (s.ok()) s = write_limit_v2(dir, write.file, write.to);
      if (s.ok()) continue;
      while (i-- > 0) (void)write_limit_v2(dir, plan.writes[i].file, plan.writes[i].from);
      return s;
    }
    return Status::success();
  }

  Status counters(int dir, Counters& out) const override {
    if (is_root(dir)) return Status::success();
    parse::MemoryEvents events;
    if (Status s = read_events(dir, "memory.events", events); !s.ok()) return s;
    out.oom = events.oom;
    out.oom_kill = events.oom_kill;
    out.oom_group_kill = events.oom_group_kill;
    out.high = events.high;
    out.max = events.max;
    return Status::success();
  }

  Status reclaim(int dir, uint64_t bytes) const override { return reclaim_now(dir, bytes); }

  // The root has the controller without a parent's doing, but must enable it for its children too.
  Status give_to_children(int dir, bool& changed) const override {
    bool given = false;
    changed = false;
    if (Status s = control::lists(dir, kSubtree, "memory", given); !s.ok()) return s;
    if (given) return Status::success();
    if (Status s = control::write(dir, kSubtree, "+memory"); !s.ok()) return s;
    changed = true;
    return Status::success();
  }
  void take_from_children(int dir) const override {
    (void)control::write(dir, kSubtree, "-memory");
  }
  bool counts_below(int) const override { return true; }
  Status count_below(int) const override { return Status::success(); }

  int kill_tree(int dir) const override {
    int err = sys::write_at(dir, "cgroup.kill", "1");
    // Absent, and the group is there: an older kernel.
    return absent(err) && control::has(dir, "cgroup.procs") ? -EOPNOTSUPP : err;
  }

  // All members are listed.
  bool has_anonymous(int, bool) const override { return false; }

  Status freeze(const Group& group, bool& done) const override {
    const int dir = group.dir();
    uint64_t asked = 0;
    if (Status s = has_freezer(dir); !s.ok()) return s;
    if (Status s = control::read_number(dir, kFreeze, asked); !s.ok()) return s;
    if (asked == 0) {
      std::vector<pid_t> members;
      if (Status s = group.pids(true, members); !s.ok()) return s;
      if (std::binary_search(members.begin(), members.end(), getpid())) {
        return code::fail(code::kSelfInGroup);
      }
      if (Status s = control::write(dir, kFreeze, "1"); !s.ok()) return s;
    }
    return read_frozen(dir, done);
  }

  Status thaw(const Group& group, bool& done) const override {
    const int dir = group.dir();
    bool frozen = false;
    if (Status s = has_freezer(dir); !s.ok()) return s;
    if (Status s = control::write(dir, kFreeze, "0"); !s.ok()) return s;
    if (Status s = read_frozen(dir, frozen); !s.ok()) return s;
    done = !frozen;
    if (frozen && frozen_above(dir)) return Status::of(-EBUSY, "write", kFreeze);
    return Status::success();
  }

  // In v2 frozen members die of SIGKILL, and no task waits for user space when out of memory.
  Status let_die(const Group&) const override { return Status::success(); }
  // A guard that has ended may have left the group held.
  Status give_killer_back(int dir) const override {
    return Status::of(hold::restore(dir), "write", kHigh);
  }
};

constexpr V2 kMemcgV2;

}  // namespace

const Memcg& memcg_v2() { return kMemcgV2; }

}  // namespace oom
