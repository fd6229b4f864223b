// Headroom of a v2 group: memory.max goes up and the line with it, and both come down again as far
// as usage allows. The rest of MemoryHighBackEnd is in v2_memory_high.cc.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "core/memcg/v2_memory_high.h"
#include "core/sys/warm_file.h"

namespace oom {
namespace {

// What CPUs may have charged ahead: so much stays free when memory.max is lowered.
constexpr uint64_t kSlack = uint64_t{1} << 20;

}  // namespace

int MemoryHighBackEnd::raise_to(uint64_t bytes) {
  uint64_t max;
  if (int err = limit(max)) return err;
  loans_.fetch_add(1);
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
  uint32_t loans = loans_.load();
  uint64_t max, usage;
  Opened file(place_, slow_max_, "memory.max", O_RDWR);
  if (!file) return file.error();
  if (int err = read_limit(*file, max)) return err;
  // Somebody has set another one meanwhile: it is theirs now.
  if (max != set_max_.load() || base >= max) {
    if (loans_.load() == loans) set_max_.store(0);
    return 0;
  }
  if (int err = lower_high(base)) return err;
  if (int err = read_limit(usage_, usage)) return err;
  if (usage + kSlack / 4 <= base) {
    if (int err = write_limit(*file, base)) return err;
    if (loans_.load() == loans) set_max_.store(0);
    return 0;
  }
  // More is in use than the limit was, and cannot be reclaimed. Then no more than that.
  uint64_t tight = usage + std::max(max - hold::line(max, config_), kSlack);
  if (loans_.load() == loans && tight < max) {
    if (int err = write_limit(*file, tight)) return err;
    if (read_limit(*file, max) == 0) set_max_.store(max);
  }
  if (int err = lower_high(max)) return err;
  return -EBUSY;
}

int MemoryHighBackEnd::restore_limit_for(uint64_t base, uint64_t, uint64_t raised_to) {
  uint64_t max;
  if (int err = limit(max)) return err;
  if (max > raised_to) return 0;  // somebody has raised it since
  set_max_.store(max);
  return restore_limit(base);
}

}  // namespace oom
