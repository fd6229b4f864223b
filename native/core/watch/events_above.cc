#include "core/watch/events_above.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "core/sys/field_file.h"
#include "core/sys/parse.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

// Calls use() with each group above, up to the hierarchy's root, or to the mount's where that is a part of
// it. False: not up to the hierarchy's root.
template <class Use>
bool for_each_above(int dir, Use&& use) {
  bool whole = true;
  Fd at;
  for (;;) {
    Fd up(openat(at ? at.get() : dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!up || faccessat(up.get(), "cgroup.procs", F_OK, 0) != 0) return false;
    // The root has no counters.
    if (faccessat(up.get(), "cgroup.type", F_OK, 0) != 0) return whole;
    whole &= use(up.get());
    at = std::move(up);
  }
}

}  // namespace

EventsAbove::EventsAbove(int dir) {
  whole_ = for_each_above(dir, [&](int up) {
    Fd file(sys::open_at(up, kLocal, O_RDONLY));
    if (!file) return false;
    files_.push_back(std::move(file));
    return true;
  });
}

Above EventsAbove::read() const {
  Above out{.whole = whole_};
  for (const Fd& file : files_) {
    parse::MemoryEvents events;
    if (read_fields(file.get(), events) != 0) out.whole = false;
    out.count += events.oom.value_or(0);
  }
  return out;
}

Above read_events_above(int dir) {
  Above out;
  out.whole = for_each_above(dir, [&](int up) {
    parse::MemoryEvents events;
    if (read_fields_at(up, kLocal, events) != 0) return false;
    out.count += events.oom.value_or(0);
    return true;
  });
  return out;
}

}  // namespace oom
