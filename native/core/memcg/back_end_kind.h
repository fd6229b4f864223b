// What a guard needs of a cgroup version besides the warm files of one group: chosen once, by the
// version of the guarded group.
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "core/memcg/back_end.h"
#include "core/rules/hold_line.h"

namespace oom {

class BackEndKind {
 public:
  // Bytes that any of the back-ends needs, for make(void*, …).
  static constexpr size_t kRoom = 640;
  virtual BackEnd* make(void* at, const HoldConfig& hold) const = 0;
  virtual std::unique_ptr<BackEnd> make(const HoldConfig& hold) const = 0;
  virtual const Traits& traits() const = 0;
  // The name of the file that a guard changes, for error messages.
  virtual const char* control() const = 0;
  // A group created below a guarded one is created held: releases one that no guard is to hold.
  virtual void release(int dir) const = 0;
  // The files whose changes by other processes are to be watched in each group; the rest null.
  // `freezer`: that of the freezer too, which only the sentinel's process writes by itself.
  virtual std::array<const char*, 3> touched_files(bool freezer) const = 0;
  // Whether the group's own events report its removal.
  virtual bool tells_removal() const = 0;
  // Whether a group is frozen through a group of another hierarchy (freezer_v1.h).
  virtual bool separate_freezer() const = 0;
  // Whether holding may stop the members, so that a freezer is wanted even without a plan.
  virtual bool freezes(const HoldConfig& hold) const = 0;
  // Whether a process may hold the group that it lives in without a plan that makes room first.
  virtual bool holds_from_inside() const { return false; }

 protected:
  ~BackEndKind() = default;
};

const BackEndKind& back_end_kind(int version, HoldBy by);

// A BackEnd of any kind, stored inside its owner.
class BackEndHolder {
 public:
  BackEndHolder(const BackEndKind& kind, const HoldConfig& hold)
      : back_end_(kind.make(room_, hold)) {}
  ~BackEndHolder() { back_end_->~BackEnd(); }
  BackEndHolder(const BackEndHolder&) = delete;
  BackEndHolder& operator=(const BackEndHolder&) = delete;
  BackEnd& operator*() const { return *back_end_; }
  BackEnd* operator->() const { return back_end_; }

 private:
  alignas(16) unsigned char room_[BackEndKind::kRoom];
  BackEnd* back_end_;
};

}  // namespace oom
