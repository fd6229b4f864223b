// Kernel contract (v1): usage_in_bytes counts page cache; what of it can be reclaimed is on the
// lists of file pages in memory.stat, with those of the groups below in the lines of "total_".
// Documentation/admin-guide/cgroup-v1/memory.rst, sections 2.2 and 5.2.
#include "core/memcg/signal_facts.h"

#include <fcntl.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <iterator>

#include "core/rules/hold_line.h"
#include "core/sys/codes.h"
#include "core/sys/field_file.h"
#include "core/sys/small_file.h"
#include "core/sys/units.h"
#include "core/sys/warm_file.h"

namespace oom {
namespace {

struct Names {
  const char* usage;
  const char* limit;
  const char* events;
};
constexpr Names kNamesV1{"memory.usage_in_bytes", "memory.limit_in_bytes", "memory.oom_control"};
constexpr Names kNamesV2{"memory.current", "memory.max", "memory.events"};

constexpr const char* kMemswUsage = "memory.memsw.usage_in_bytes";
constexpr const char* kMemswLimit = "memory.memsw.limit_in_bytes";

// v1: the largest number of whole pages that there is says that there is no limit.
constexpr uint64_t kNoLimit = uint64_t{LONG_MAX} & ~uint64_t{65535};

}  // namespace

Status SignalFacts::open(int dir, const char* name, Fd& file) {
  file.reset(sys::open_at(dir, name, O_RDONLY));
  if (!file) return Status::of(file.release(), "open", name);
  // The first read makes the kernel allocate the read buffer, charged to us.
  char text[4096];
  return pread(file.get(), text, sizeof text, 0) < 0 ? Status::last("read", name)
                                                     : Status::success();
}

Status SignalFacts::arm(int dir, int version) {
  version_ = version;
  const Names& names = version == 2 ? kNamesV2 : kNamesV1;
  // One that is gone has neither.
  if (faccessat(dir, names.limit, F_OK, 0) != 0 && faccessat(dir, "cgroup.procs", F_OK, 0) == 0) {
    return code::fail(code::kNotAMemoryCgroup, "cgroup.subtree_control");
  }
  Status status = open(dir, names.usage, usage_);
  if (status.ok()) status = open(dir, names.limit, limit_);
  if (status.ok()) status = open(dir, names.events, events_);
  if (!status.ok()) return status;
  if (version == 2) return reclaimable_.arm(dir);
  // Without swap accounting there are no such files.
  if (faccessat(dir, kMemswUsage, F_OK, 0) == 0) {
    status = open(dir, kMemswUsage, memsw_usage_);
    if (status.ok()) status = open(dir, kMemswLimit, memsw_limit_);
  }
  return status.ok() ? open(dir, "memory.stat", stat_) : status;
}

Status SignalFacts::arm_stalls(int dir) {
  if (version_ != 2) return code::fail(code::kCgroupUnsupported, "memory.pressure");
  Status status = stalls_.arm(dir);
  return status.ok() ? open(dir, "memory.high", high_) : status;
}

int SignalFacts::stalls(Sample& out) const {
  uint64_t high = 0;
  if (int err = read_limit(high_, high)) return err;
  return stalls_.read(reclaimable_, high, out);
}

int SignalFacts::usage(uint64_t& out) const { return read_number(usage_, out); }

int SignalFacts::limit(uint64_t& out) const {
  if (int err = read_limit(limit_, out)) return err;
  if (version_ == 1 && out >= kNoLimit) out = kUnlimited;
  return 0;
}

int SignalFacts::kills(uint64_t& out) const { return read_field(events_.get(), "oom_kill", out); }

int SignalFacts::reclaimable(uint64_t& out) const {
  if (version_ == 2) return reclaimable_.count(out);
  parse::Field stat[] = {{"total_active_file"},
                         {"total_inactive_file"},
                         {"total_active_anon"},
                         {"total_inactive_anon"}};
  if (int err = read_fields(stat_.get(), stat, std::size(stat))) return err;
  auto number = [&](size_t i) { return stat[i].value.value_or(0); };
  hold::Pages pages;
  pages.file = number(0) + number(1);
  pages.anon = number(2) + number(3);
  struct sysinfo machine;
  if (::sysinfo(&machine) == 0) pages.swap_room = uint64_t{machine.freeswap} * machine.mem_unit;
  uint64_t used = 0, most = 0;
  if (memsw_usage_ && read_number(memsw_usage_, used) == 0 &&
      read_number(memsw_limit_, most) == 0) {
    pages.swap_room = std::min(pages.swap_room, most > used ? most - used : 0);
  }
  out = hold::reclaimable(pages);
  return 0;
}

}  // namespace oom
