#include "core/reclaimable.h"

#include <fcntl.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>

#include "core/hold.h"
#include "core/shared_files.h"
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
  struct sysinfo machine;
  swaps_known_ = ::sysinfo(&machine) == 0 && machine.totalswap != 0;
  if (!swaps_known_) return Status::success();
  std::string above;
  for (int level = 0; level < 16 && swap_count_ < kSwaps; level++, above.insert(0, "../")) {
    Swap& swap = swaps_[swap_count_];
    int err = 0;
    swap.max_file = shared_files::open(dir, (above + "memory.swap.max").c_str(), err);
    if (swap.max_file) {
      swap.current_file = shared_files::open(dir, (above + "memory.swap.current").c_str(), err);
    }
    if (!swap.max_file || !swap.current_file) {
      swap = {};
      if (err == -EMFILE || err == -ENFILE || err == -ENOMEM) {
        return Status::of(err, "open", "memory.swap.max");
      }
      break;
    }
    swap.max = swap.max_file->get();
    swap.current = swap.current_file->get();
    uint64_t max = 0;
    if (read_limit(swap.max, max) == 0 && (level == 0 || max != kUnlimited)) {
      swap_count_++;
    } else {
      swap = {};
    }
  }
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
  // Swap that was switched on since: what this group may have of it is not known, so none.
  if (!swaps_known_) return 0;
  for (int i = 0; i < swap_count_; i++) {
    const Swap& swap = swaps_[i];
    uint64_t max = 0, current = 0;
    if (read_limit(swap.max, max) != 0 || read_limit(swap.current, current) != 0) continue;
    room = std::min(room, max > current ? max - current : 0);
  }
  return room;
}

}  // namespace oom
