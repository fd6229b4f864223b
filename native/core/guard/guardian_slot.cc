#include "core/guard/guardian_slot.h"

#include <algorithm>

#include "core/guardian_link/link.h"

namespace oom {

GuardianSlot::~GuardianSlot() {
  if (!slot_) return;
  hold_.share(nullptr);
  hold_.note_stops({});
  GuardianLink::free_slot(*slot_);
}

void GuardianSlot::set(SharedSlot& slot) {
  slot_ = &slot;
  hold_.share(&slot.hold);
}

void GuardianSlot::publish(const EpisodeMachine& machine, bool frozen) {
  if (!slot_) return;
  oom::publish(*slot_, machine,
               {.open = headroom_.raised(),
                .to = headroom_.raised_to(),
                .memsw = headroom_.own_memsw(),
                .frozen = frozen});
}

void GuardianSlot::announce_headroom(const EpisodeMachine& machine, uint64_t bytes) {
  if (!slot_) return;
  oom::announce_headroom(
      *slot_, machine,
      {.to = std::max(bytes, headroom_.raised_to()), .memsw = headroom_.memsw_before()});
}

}  // namespace oom
