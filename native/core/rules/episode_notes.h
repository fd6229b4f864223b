// What is noted of an episode for those who ask afterwards: who held what when it began, and how
// usage went. Fixed in size, whatever the group has and however long the episode lasts. Pure.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/rules/sample.h"

namespace oom {

// The largest members of a group, and how many more there are.
class Census {
 public:
  static constexpr size_t kMost = 16;
  // As the kernel keeps names (TASK_COMM_LEN), the final NUL included.
  static constexpr size_t kName = 16;
  struct Member {
    int32_t pid = 0;
    char name[kName] = {};
    uint64_t resident = 0;  // bytes
  };

  void clear() {
    size_ = 0;
    more_ = 0;
    known_ = false;
  }
  // A member with that many bytes; of two with the same the one that came first is the larger.
  void add(int32_t pid, uint64_t resident) {
    size_t at = size_;
    while (at > 0 && list_[at - 1].resident < resident) at--;
    if (size_ == kMost) more_++;
    if (at == kMost) return;
    if (size_ < kMost) size_++;
    std::copy_backward(list_ + at, list_ + size_ - 1, list_ + size_);
    list_[at] = {.pid = pid, .name = {}, .resident = resident};
  }
  // One of which nothing is known but that it is there.
  void add_unseen() { more_++; }
  // All that could be listed were.
  void set_known() { known_ = true; }
  bool known() const { return known_; }

  size_t size() const { return size_; }
  uint32_t more() const { return more_; }
  const Member& operator[](size_t i) const { return list_[i]; }
  // Where the name of a member goes.
  using Name = char[kName];
  Name& name(size_t i) { return list_[i].name; }

 private:
  Member list_[kMost];
  uint32_t size_ = 0;
  uint32_t more_ = 0;
  bool known_ = false;
};

// Usage over time, in at most kMost points: if there are more, every second one is dropped and new
// ones come half as often. The last one is always kept.
class UsageCurve {
 public:
  static constexpr size_t kMost = 64;
  static constexpr uint64_t kUnit = 4096;  // bytes; a size that is too large counts as none
  struct Point {
    int64_t at = 0;
    uint32_t usage = 0, limit = 0, line = 0;  // in units
  };

  void clear() {
    size_ = 0;
    apart_ = 0;
  }
  void add(int64_t at, const Sample& s) {
    // An answer may be worked on with the time at which it came, after later samples.
    if (size_ > 0) at = std::max(at, list_[size_ - 1].at);
    const uint64_t line = s.limit > s.band ? s.limit - s.band : 0;
    const Point point{.at = at,
                      .usage = units(s.usage),
                      .limit = units(s.limit),
                      .line = units(s.limit == UINT64_MAX ? s.limit : line)};
    // Stands for the time since the one before it until the next one comes.
    if (size_ > 1 && at - list_[size_ - 2].at < apart_) {
      list_[size_ - 1] = point;
      return;
    }
    if (size_ == kMost) thin_out();
    list_[size_++] = point;
  }
  size_t size() const { return size_; }
  const Point& operator[](size_t i) const { return list_[i]; }

  static constexpr uint32_t kNone = UINT32_MAX;
  static uint32_t units(uint64_t bytes) {
    return static_cast<uint32_t>(std::min<uint64_t>(bytes / kUnit, kNone));
  }

 private:
  void thin_out() {
    apart_ = (list_[kMost - 1].at - list_[0].at) * 2 / static_cast<int64_t>(kMost);
    for (size_t i = 0; i < kMost / 2; i++) list_[i] = list_[2 * i];
    size_ = kMost / 2;
  }

  Point list_[kMost];
  uint32_t size_ = 0;
  int64_t apart_ = 0;  // ns
};

struct EpisodeNotes {
  Census census;
  UsageCurve curve;
};

}  // namespace oom
