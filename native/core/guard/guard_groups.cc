#include "core/guard/guard_groups.h"

#include <algorithm>
#include <utility>

namespace oom {

Status GuardGroups::open(uint64_t ballast) {
  Status status;
  shared_ = make_locked<SharedWork>(status);
  if (status.ok() && ballast > 0) status = shared_->ballast.open(ballast);
  return status;
}

void GuardGroups::close() {
  entries_.clear();
  shared_.reset();
}

void GuardGroups::add(GuardEntry&& entry) {
  if (GuardEntry* above = find(entry.parent)) above->children++;
  shared_->groups.add(entry.group->members());
  entries_[next_sub_++] = std::move(entry);
}

GuardEntry* GuardGroups::find(uint32_t sub) {
  auto it = entries_.find(sub);
  return it == entries_.end() ? nullptr : &it->second;
}

uint32_t GuardGroups::guarded() const {
  return static_cast<uint32_t>(std::count_if(
      entries_.begin(), entries_.end(),
      [](const auto& entry) { return entry.second.guarded && !entry.second.forgotten; }));
}

bool GuardGroups::busy() const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [](const auto& entry) { return entry.second.group->busy(); });
}

void GuardGroups::settle() {
  for (auto& [sub, entry] : entries_) entry.group->settle();
}

void GuardGroups::forget(uint32_t sub) {
  GuardEntry* entry = find(sub);
  if (!entry) return;
  entry->forgotten = true;
  drop(sub);
  sweep();
}

// Frees an entry that is forgotten and has none below it, then perhaps the one above.
void GuardGroups::drop(uint32_t sub) {
  for (;;) {
    GuardEntry* entry = find(sub);
    if (!entry || !entry->forgotten || entry->children > 0) return;
    GuardedGroup& group = *entry->group;
    // Nothing is started on it any more, but what was may not be over.
    sentinel_.call([](Sentinel& s, GuardedGroup* leaving) { leaving->detach(s); }, &group);
    if (group.busy()) {
      leaving_.push_back(sub);
      return;
    }
    sentinel_.call([](Sentinel&) {});
    shared_->groups.remove(group.members());
    uint32_t parent = entry->parent;
    entries_.erase(sub);
    GuardEntry* above = find(parent);
    if (!above) return;
    above->children--;
    sub = parent;
  }
}

void GuardGroups::sweep() {
  for (uint32_t sub : std::exchange(leaving_, {})) drop(sub);
}

}  // namespace oom
