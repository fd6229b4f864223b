// Points in time of the pure rules, CLOCK_MONOTONIC nanoseconds: one that is waited for, and one
// since when something has held. Either may be unset.
#pragma once

#include <cstdint>
#include <limits>

namespace oom {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

class Timer {
 public:
  void start(int64_t at) { at_ = at; }
  void stop() { at_ = kNever; }
  bool runs() const { return at_ != kNever; }
  bool fired(int64_t now) const { return now >= at_; }
  // kNever while it does not run.
  int64_t at() const { return at_; }

 private:
  int64_t at_ = kNever;
};

class Since {
 public:
  // Keeps the earlier point if it runs already.
  void start(int64_t now) {
    if (!runs()) at_ = now;
  }
  void restart(int64_t now) { at_ = now; }
  void stop() { at_ = kNever; }
  bool runs() const { return at_ != kNever; }
  bool lasted(int64_t now, int64_t ns) const { return runs() && now - at_ >= ns; }

 private:
  int64_t at_ = kNever;
};

}  // namespace oom
