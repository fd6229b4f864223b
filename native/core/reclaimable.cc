#include "core/reclaimable.h"

#include <fcntl.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>

#include "core/hold.h"
#include "core/warm_file.h"

namespace oom {
namespace {

constexpr size_t kPage = 4096;

// Pages on their way to swap, or back from it and unchanged: charged as memory and as swap.
uint64_t swap_cached(std::string_view stat, uint64_t listed) {
  uint64_t value = 0;
  if (parse::key_value(stat, "swapcached", value) == 0) return value;
  // Before 5.12: those that nobody has mapped any more.
  uint64_t known = field(stat, "anon") + field(stat, "shmem");
  return listed > known ? listed - known : 0;
}

}  // namespace

Status Reclaimable::arm(int dir) {
  constexpr const char* kStat = "memory.stat";
  stat_.reset(sys::open_at(dir, kStat, O_RDONLY));
  if (!stat_) return Status::of(stat_.release(), "open", kStat);
  // The first read makes the kernel allocate the read buffer, charged to us.
  uint64_t now;
  if (int err = count(now)) return Status::of(err, "read", kStat);
  return arm_swap(dir);
}

// Of the groups above only those that have a limit, and it may be set later: then it is not known.
Status Reclaimable::arm_swap(int dir) {
  std::string above;
  int found = 0;
  for (int level = 0; level < 16 && found < kSwaps; level++, above.insert(0, "../")) {
    Swap& swap = swaps_[found];
    swap.max.reset(sys::open_at(dir, (above + "memory.swap.max").c_str(), O_RDONLY));
    swap.current.reset(sys::open_at(dir, (above + "memory.swap.current").c_str(), O_RDONLY));
    if (!swap.max || !swap.current) {
      int err = swap.max ? swap.current.get() : swap.max.get();
      swap = {};
      if (err == -EMFILE || err == -ENFILE || err == -ENOMEM) {
        return Status::of(err, "open", "memory.swap.max");
      }
      break;
    }
    uint64_t max = 0, current = 0;
    if (read_limit(swap.max, max) != 0 || read_limit(swap.current, current) != 0) break;
    if (level == 0 || max != kUnlimited) found++;
  }
  if (found < kSwaps) swaps_[found] = {};
  return Status::success();
}

int Reclaimable::count(uint64_t& out) const {
  char text[2 * kPage];
  ssize_t n = sys::read_small(stat_.get(), text, sizeof text);
  if (n < 0) return static_cast<int>(n);
  std::string_view stat(text, static_cast<size_t>(n));
  hold::Pages pages;
  pages.file = field(stat, "active_file") + field(stat, "inactive_file");
  pages.anon = field(stat, "active_anon") + field(stat, "inactive_anon");
  pages.slab = field(stat, "slab_reclaimable");
  struct sysinfo machine;
  if (::sysinfo(&machine) == 0 && machine.totalswap != 0) {
    pages.swap_room = swap_room(uint64_t{machine.freeswap} * machine.mem_unit);
    uint64_t used = uint64_t{machine.totalswap - machine.freeswap} * machine.mem_unit;
    pages.swap_cached = std::min(used, swap_cached(stat, pages.anon));
  }
  out = hold::reclaimable(pages);
  return 0;
}

uint64_t Reclaimable::swap_room(uint64_t room) const {
  for (const Swap& swap : swaps_) {
    uint64_t max = 0, current = 0;
    if (room == 0 || !swap.max) break;
    if (read_limit(swap.max, max) != 0 || read_limit(swap.current, current) != 0) continue;
    room = std::min(room, max > current ? max - current : 0);
  }
  return room;
}

}  // namespace oom
