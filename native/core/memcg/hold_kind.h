// What a guard needs of a cgroup version besides the warm files of one group: chosen once, by the
// version of the guarded group.
#pragma once

#include <cstddef>
#include <memory>

#include "core/memcg/hold.h"
#include "core/rules/hold_line.h"

namespace oom {

class HotKind {
 public:
  // Room for any of them, where it shall lie.
  static constexpr size_t kRoom = 1024;
  virtual HotGroup* make(void* at, const HoldConfig& hold) const = 0;
  virtual std::unique_ptr<HotGroup> make(const HoldConfig& hold) const = 0;
  virtual const Traits& traits() const = 0;
  // The file whose state a guard changes: for messages.
  virtual const char* control() const = 0;
  // A new group below a guarded one is born held, and nobody is to hold it: lets go of it.
  virtual void forgo(int dir) const = 0;
  // The file of each group whose change by others is to be told of, or null.
  virtual const char* touched_file() const = 0;
  // Whether the kernel tells of a group's removal through the group's own events.
  virtual bool tells_removal() const = 0;
  // Whether it can only be frozen through a group of another hierarchy: freezer_v1.h.
  virtual bool twin_freezer() const = 0;
  // Whether holding may stop the members, so that a freezer is wanted even without a plan.
  virtual bool freezes(const HoldConfig& hold) const = 0;

 protected:
  ~HotKind() = default;
};

const HotKind& hot_kind(int version);

// A HotGroup of either version, within whoever owns it.
class HotHolder {
 public:
  HotHolder(const HotKind& kind, const HoldConfig& hold) : hot_(kind.make(room_, hold)) {}
  ~HotHolder() { hot_->~HotGroup(); }
  HotHolder(const HotHolder&) = delete;
  HotHolder& operator=(const HotHolder&) = delete;
  HotGroup& operator*() const { return *hot_; }
  HotGroup* operator->() const { return hot_; }

 private:
  alignas(16) unsigned char room_[HotKind::kRoom];
  HotGroup* hot_;
};

}  // namespace oom
