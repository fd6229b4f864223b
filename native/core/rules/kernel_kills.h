// The kernel's kills of an episode, by a counter that never stands still: from which count on they are its
// own. Pure.
#pragma once

#include <cstdint>

namespace oom {

class KernelKills {
 public:
  // One sample. `unseen_waits`: it may show a kill of an OOM that this process has not seen and that has
  // yet to be reported, which then begins before this sample.
  void note(uint64_t count, bool unseen_waits) {
    if (!unseen_waits_) before_ = noted_ ? count_ : count;
    unseen_waits_ = unseen_waits;
    noted_ = true;
    count_ = count;
  }
  // An episode begins with the last sample: what that shows was killed before.
  void begin() { from_ = count_; }
  // An episode begins before the last sample, and what that shows may be the episode's.
  void begin_before() { from_ = before_; }

  uint64_t count() const { return count_ > from_ ? count_ - from_ : 0; }
  bool any() const { return count() > 0; }

 private:
  bool noted_ = false;
  bool unseen_waits_ = false;  // with the last sample
  uint64_t count_ = 0;         // by the last sample
  uint64_t before_ = 0;        // by the one before, or before what `unseen_waits` is about
  uint64_t from_ = 0;
};

}  // namespace oom
