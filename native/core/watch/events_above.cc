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

std::shared_ptr<const EventsAbove> EventsAbove::of(int dir) {
  auto out = std::make_shared<EventsAbove>();
  out->whole_ = for_each_above(dir, [&](int up) { return out->open(up); });
  return out;
}

std::shared_ptr<const EventsAbove> EventsAbove::from(int group,
                                                     std::shared_ptr<const EventsAbove> above) {
  auto out = std::make_shared<EventsAbove>();
  out->above_ = std::move(above);
  out->whole_ = out->open(group);
  return out;
}

std::shared_ptr<const EventsAbove> EventsAbove::from_root() {
  return std::make_shared<EventsAbove>();
}

bool EventsAbove::open(int dir) {
  Fd file(sys::open_at(dir, kLocal, O_RDONLY));
  // The first read makes the kernel allocate what each takes.
  parse::MemoryEvents events;
  if (!file || read_fields(file.get(), events) != 0) return false;
  files_.push_back(std::move(file));
  return true;
}

Above EventsAbove::read() const {
  Above out;
  for (const EventsAbove* at = this; at; at = at->above_.get()) {
    out.whole &= at->whole_;
    for (const Fd& file : at->files_) {
      parse::MemoryEvents events;
      if (read_fields(file.get(), events) != 0) out.whole = false;
      out.count += events.oom.value_or(0);
    }
  }
  return out;
}

}  // namespace oom
