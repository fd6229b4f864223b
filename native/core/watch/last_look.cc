#include "core/watch/last_look.h"

#include <mutex>

#include "core/sentinel/sentinel.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

// By inode, so that thousands of watches cost a removal nothing. The lock keeps those in the lists
// from going away meanwhile, also while the sentinel is asked, which never takes it.
constexpr size_t kLists = 1024;
std::mutex lists_lock;
Witness* lists[kLists];

}  // namespace

Witness::Witness(uint64_t inode) : inode_(inode) {
  std::lock_guard lock(lists_lock);
  Witness*& first = lists[inode % kLists];
  next_ = first;
  first = this;
}

Witness::~Witness() {
  std::lock_guard lock(lists_lock);
  Witness** link = &lists[inode_ % kLists];
  while (*link != this) link = &(*link)->next_;
  *link = next_;
}

void Witness::look_once_more(uint64_t inode) {
  std::lock_guard lock(lists_lock);
  for (Witness* one = lists[inode % kLists]; one; one = one->next_) {
    Sentinel* sentinel = one->inode_ == inode ? one->sentinel_.load() : nullptr;
    if (!sentinel) continue;
    sentinel->call(
        [](Sentinel& s, Witness* listening) {
          if (listening->sentinel_.load() != nullptr) listening->last_look(s, sys::now_ns());
        },
        one);
  }
}

}  // namespace oom
