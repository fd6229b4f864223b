// All trees of the process (tree.h): turns what inotify(7) has reported into their events.
//
// One thread serves them: the tree thread in an addon, the loop in the guardian. Events that have
// been read are queued with their tree until its turn, so that a storm below one tree, or a tree
// that is still being opened, delays no other tree.
//
// Directories that could not be watched are swept: polled each kSweep while that takes less than
// one part in kShare of the thread's time, else as much less often. With 100
// directories that is every 100 ms, with 10,000 about once a second.
#pragma once

#include <cstdint>
#include <vector>

namespace oom {

class Tree;

class Forest {
 public:
  static constexpr int64_t kSweep = 100'000'000;
  static constexpr int64_t kShare = 50;
  // How long something that could not be opened waits for the next try.
  static constexpr int64_t kRetry = 250'000'000;

  // Any thread that may sleep. add(): whether the serving thread has something to do for it.
  static bool add(Tree& tree);
  // The tree is not in use any more when it has returned.
  static void remove(Tree& tree);

  // The serving thread: hands a piece of what there is to the trees. Whether there is more.
  static bool events();
  // Goes again over what is to be tried again or swept, and is due; a piece at a time: when to come
  // next, INT64_MAX: there is nothing.
  static int64_t tend(int64_t now);

 private:
  friend class Tree;
  // With the forest's lock: the tree has mail.
  static void ready(Tree& tree);
};

// Schedules the rounds of a poll by what each round costs.
class Pace {
 public:
  // Whether a round has begun, or goes on.
  bool due(int64_t now) const { return running_ || now >= next_; }
  void begin() { running_ = true; }
  void spent(int64_t ns) { cost_ += ns; }
  void end(int64_t now);
  int64_t next() const { return running_ ? 0 : next_; }

 private:
  bool running_ = false;
  int64_t next_ = 0;
  int64_t cost_ = 0;
};

}  // namespace oom
