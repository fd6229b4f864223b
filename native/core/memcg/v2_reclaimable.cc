#include "core/memcg/v2_reclaimable.h"

#include <fcntl.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <optional>
#include <string>

#include "core/memcg/shared_files.h"
#include "core/rules/hold_line.h"
#include "core/sys/field_file.h"
#include "core/sys/units.h"
#include "core/sys/warm_file.h"

namespace oom {
namespace {

// Pages on their way to swap, or back from it and unchanged: charged as memory and as swap.
uint64_t swap_cached(const std::optional<uint64_t>& reported, uint64_t known, uint64_t listed) {
  if (reported) return *reported;
  // Before 5.12 memory.stat has no such count: take the pages that no process maps any more.
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
  parse::Field stat[] = {
      {"active_file"},      {"inactive_file"}, {"active_anon"}, {"inactive_anon"},
      {"slab_reclaimable"}, {"swapcached"},    {"anon"},        {"shmem"}};
  if (int err = read_fields(stat_.get(), stat, std::size(stat))) return err;
  auto number = [&](size_t i) { return stat[i].value.value_or(0); };
  hold::Pages pages;
  pages.file = number(0) + number(1);
  pages.anon = number(2) + number(3);
  pages.slab = number(4);
  struct sysinfo machine;
  if (::sysinfo(&machine) == 0 && machine.totalswap != 0) {
    pages.swap_room = swap_room(uint64_t{machine.freeswap} * machine.mem_unit);
    uint64_t used = uint64_t{machine.totalswap - machine.freeswap} * machine.mem_unit;
    pages.swap_cached =
        std::min(used, swap_cached(stat[5].value, number(6) + number(7), pages.anon));
  }
  out = hold::reclaimable(pages);
  return 0;
}

int Reclaimable::restored(uint64_t& out) const {
  // Memory that is swapped in was in use, as files that are read once were not.
  parse::Field stat[] = {{"workingset_refault_anon"}, {"workingset_restore_file"}};
  if (int err = read_fields(stat_.get(), stat, std::size(stat))) return err;
  out = stat[0].value.value_or(0) + stat[1].value.value_or(0);
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
