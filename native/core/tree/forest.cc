#include "core/tree/forest.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "core/sys/small_file.h"
#include "core/tree/inotify_hub.h"
#include "core/tree/tree.h"

namespace oom {
namespace {

// How long a slice of a round may take: the guardian has deadlines to keep in between.
constexpr int64_t kLongestSlice = 2'000'000;
constexpr int kReads = 4;

struct State {
  std::vector<Tree*> trees;
  std::vector<Tree*> ready;  // those with mail
  int64_t retry_at = 0;
  Pace sweep;
  size_t cursor = 0;  // of the sweep
};

// Held while a tree is in use, so that one that is removed is not.
std::mutex forest_lock;
// Never freed: threads outlive exit handlers.
State* state = nullptr;

State& the_state() {
  if (!state) state = new State();
  return *state;
}

}  // namespace

void Pace::end(int64_t now) {
  running_ = false;
  next_ = now + std::max(Forest::kSweep, Forest::kShare * cost_);
  cost_ = 0;
}

bool Forest::add(Tree& tree) {
  std::lock_guard held(forest_lock);
  State& s = the_state();
  tree.place_ = s.trees.size();
  s.trees.push_back(&tree);
  tree.planted_ = true;
  bool mail = tree.has_mail();
  if (mail) ready(tree);
  return mail || tree.incomplete_ || tree.unwatched_ > 0;
}

void Forest::remove(Tree& tree) {
  std::lock_guard held(forest_lock);
  State& s = the_state();
  if (!tree.planted_) return;
  tree.planted_ = false;
  s.trees[tree.place_] = s.trees.back();
  s.trees[tree.place_]->place_ = tree.place_;
  s.trees.pop_back();
  if (std::exchange(tree.ready_, false)) std::erase(s.ready, &tree);
}

void Forest::ready(Tree& tree) {
  if (std::exchange(tree.ready_, true)) return;
  the_state().ready.push_back(&tree);
}

bool Forest::events() {
  std::lock_guard held(forest_lock);
  State& s = the_state();
  bool more = true;
  for (int i = 0; i < kReads && more; i++) more = InotifyHub::read();
  for (Tree* tree : std::exchange(s.ready, {})) {
    tree->ready_ = false;
    if (tree->events()) ready(*tree);
  }
  return more || !s.ready.empty();
}

int64_t Forest::tend(int64_t now) {
  std::lock_guard held(forest_lock);
  State& s = the_state();
  int64_t next = INT64_MAX;
  if (Tree::incomplete_trees() > 0) {
    if (s.retry_at == 0) s.retry_at = now + kRetry;
    if (now >= s.retry_at) {
      for (Tree* tree : s.trees) {
        if (tree->incomplete_) tree->rescan();
      }
      s.retry_at = sys::now_ns() + kRetry;
    }
    if (Tree::incomplete_trees() > 0) next = s.retry_at;
  } else {
    s.retry_at = 0;
  }
  if (Tree::unwatched_trees() == 0) return next;
  if (s.sweep.due(now)) {
    s.sweep.begin();
    int64_t began = sys::now_ns(), time = began;
    while (s.cursor < s.trees.size() && time - began < kLongestSlice) {
      s.trees[s.cursor++]->sweep();
      time = sys::now_ns();
    }
    s.sweep.spent(time - began);
    if (s.cursor >= s.trees.size()) {
      s.cursor = 0;
      s.sweep.end(time);
    }
  }
  return std::min(next, s.sweep.next());
}

}  // namespace oom
