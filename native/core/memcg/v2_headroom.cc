// Headroom of a v2 group: raises memory.max, and memory.high with it, and restores both as far as
// usage allows. The rest of MemoryHighBackEnd is in v2_memory_high.cc.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "core/memcg/v2_memory_high.h"
#include "core/sys/warm_file.h"

namespace oom {
namespace {

// CPUs may have charged this much in advance: it stays free when memory.max is lowered.
constexpr uint64_t kSlack = uint64_t{1} << 20;

}  // namespace

int MemoryHighBackEnd::raise_to(uint64_t bytes) {
  uint64_t max;
  if (int err = limit(max)) return err;
  raises_.fetch_add(1);
  if (bytes <= max) return 0;
  if (int err = write_limit(max_, bytes)) return err;
  set_max_.store(read_limit(max_, max) == 0 ? max : bytes);
  return noted() && !yielded_ ? set_high(high_, held_high(max)) : 0;
}

// Brings usage below what `max` allows, as far as it can be reclaimed: lowering memory.max itself
// would kill.
int MemoryHighBackEnd::lower_high(uint64_t max) {
  if (noted()) {
    Opened high(place_, slow_high_, "memory.high", O_RDWR);
    return high ? set_high(*high, yielded_ ? own_high() : held_high(max)) : high.error();
  }
  uint64_t usage;
  if (int err = read_limit(usage_, usage)) return err;
  if (usage <= max) return 0;
  Opened reclaim(place_, reclaim_, "memory.reclaim", O_WRONLY);
  if (!reclaim) return 0;
  int err = write_limit(*reclaim, usage - max);
  return err == -EAGAIN ? 0 : err;
}

int MemoryHighBackEnd::restore_limit(uint64_t base) {
  if (!raised()) return 0;
  uint32_t raises = raises_.load();
  uint64_t max, usage;
  Opened file(place_, slow_max_, "memory.max", O_RDWR);
  if (!file) return file.error();
  if (int err = read_limit(*file, max)) return err;
  // A limit that another process has set meanwhile is left alone.
  if (max != set_max_.load() || base >= max) {
    if (raises_.load() == raises) set_max_.store(0);
    return 0;
  }
  if (int err = lower_high(base)) return err;
  if (int err = read_limit(usage_, usage)) return err;
  if (usage + kSlack / 4 <= base) {
    if (int err = write_limit(*file, base)) return err;
    if (raises_.load() == raises) set_max_.store(0);
    return 0;
  }
  // Usage exceeds the base limit and cannot be reclaimed: lower memory.max to just above usage.
  uint64_t tight = usage + std::max(max - hold::line(max, config_), kSlack);
  if (raises_.load() == raises && tight < max) {
    if (int err = write_limit(*file, tight)) return err;
    if (read_limit(*file, max) == 0) set_max_.store(max);
  }
  if (int err = lower_high(max)) return err;
  return -EBUSY;
}

int MemoryHighBackEnd::restore_limit_for(uint64_t base, uint64_t, uint64_t raised_to) {
  uint64_t max;
  if (int err = limit(max)) return err;
  // A higher limit was set by another process since, and stays.
  if (max > raised_to) return 0;
  set_max_.store(max);
  return restore_limit(base);
}

}  // namespace oom
