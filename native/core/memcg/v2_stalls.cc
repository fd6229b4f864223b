#include "core/memcg/v2_stalls.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/sys/codes.h"
#include "core/sys/small_file.h"
#include "core/sys/stall_file.h"
#include "core/sys/units.h"

namespace oom {
namespace {

constexpr const char* kFile = "memory.pressure";
// Reclaim takes more at a time than a task wants: so far below its limit a group is at it.
constexpr uint64_t kEdgeShare = 8;

bool at_edge(uint64_t usage, uint64_t edge) {
  return edge != kUnlimited && usage >= edge - edge / kEdgeShare;
}

}  // namespace

Status GroupStalls::arm(int dir) {
  pressure_.reset(sys::open_at(dir, kFile, O_RDONLY));
  int err = pressure_ ? 0 : pressure_.release();
  uint64_t ignored = 0;
  // The first read makes the kernel allocate the read buffer, charged to us.
  if (err == 0) err = read_stalled(pressure_, true, ignored);
  const bool none = err == -ENOENT && faccessat(dir, "cgroup.procs", F_OK, 0) == 0;
  if (none || err == -EOPNOTSUPP) return code::fail(code::kCgroupUnsupported, kFile);
  return Status::of(err, "read", kFile);
}

int GroupStalls::read(const Reclaimable& pages, uint64_t high, Sample& sample) const {
  Stalls& out = sample.stalls;
  out = {};
  if (!pressure_) return -EBADF;
  out.at_edge = at_edge(sample.usage, std::min(sample.limit, high));
  if (int err = read_stalled(pressure_, true, out.full_us)) return err;
  if (int err = pages.restored(out.restored)) return err;
  out.known = true;
  return 0;
}

}  // namespace oom
