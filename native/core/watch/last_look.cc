#include "core/watch/last_look.h"

#include <mutex>

#include "core/sentinel/sentinel.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

// Lists by inode, so that thousands of watches cost a removal nothing. The lock keeps the listed
// watches alive, also during a call to the sentinel, which never takes it.
constexpr size_t kLists = 1024;
std::mutex lists_lock;
LastLook* lists[kLists];

}  // namespace

LastLook::LastLook(uint64_t inode) : inode_(inode) {
  std::lock_guard lock(lists_lock);
  LastLook*& first = lists[inode % kLists];
  next_ = first;
  first = this;
}

LastLook::~LastLook() {
  std::lock_guard lock(lists_lock);
  LastLook** link = &lists[inode_ % kLists];
  while (*link != this) link = &(*link)->next_;
  *link = next_;
}

void LastLook::look_once_more(uint64_t inode) {
  std::lock_guard lock(lists_lock);
  for (LastLook* one = lists[inode % kLists]; one; one = one->next_) {
    Sentinel* sentinel = one->inode_ == inode ? one->sentinel_.load() : nullptr;
    if (!sentinel) continue;
    sentinel->call(
        [](Sentinel& s, LastLook* listening) {
          if (listening->sentinel_.load() != nullptr) listening->last_look(s, sys::now_ns());
        },
        one);
  }
}

}  // namespace oom
