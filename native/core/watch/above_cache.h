// The counters of the groups above a group, added up, shared by the groups that are armed one after
// the other: 10,000 groups of a tree read each counter of their ancestors once.
//
// An entry is older than its group's watch by 100 ms at most. What an ancestor counted in that time
// is then taken for new: the same tolerance that rules/origin.h has for the time between a refused
// charge and its OOM.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "core/sys/small_file.h"

namespace oom {

struct Above {
  uint64_t count = 0;
  bool whole = true;  // read up to the hierarchy's root
};

// Not thread-safe.
class AboveCache {
 public:
  // The next group is `self`, directly below `parent`: numbers of the owner's, 0 is none.
  void next(uint32_t parent, uint32_t self) {
    parent_ = parent;
    self_ = self;
  }
  // All groups above the next one: `read` reads them if they are not known.
  template <class Read>
  Above of_above(Read&& read) {
    int64_t now = sys::now_ns();
    if (now - since_ > kValidNs) {
      sums_.clear();
      since_ = now;
    }
    auto [it, fresh] = sums_.try_emplace(parent_);
    if (fresh || parent_ == 0) it->second = read();
    return above_ = it->second;
  }
  // The next group's own count, for the groups below it. After of_above().
  void note_own(uint64_t count) { sums_[self_] = {above_.count + count, above_.whole}; }
  void clear() { sums_ = {}; }

 private:
  static constexpr int64_t kValidNs = 100'000'000;

  // By number: the counts of the group and of all above it.
  std::unordered_map<uint32_t, Above> sums_;
  int64_t since_ = 0;
  uint32_t parent_ = 0;
  uint32_t self_ = 0;
  Above above_;
};

}  // namespace oom
