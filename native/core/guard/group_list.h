// The groups of one guard, for the helpers: a list through the groups themselves, so that walking
// it touches locked memory only. No thread allocates while it holds the lock; the sentinel never
// takes it.
#pragma once

#include <pthread.h>

namespace oom {

// Where a list goes through T.
template <class T>
struct GroupListNode {
  T* next = nullptr;
};

template <class T>
class GroupList {
 public:
  void add(T& one) {
    pthread_rwlock_wrlock(&lock_);
    one.listed.next = first_;
    first_ = &one;
    pthread_rwlock_unlock(&lock_);
  }
  // Waits until no thread is in each_below().
  void remove(T& one) {
    pthread_rwlock_wrlock(&lock_);
    for (T** link = &first_; *link; link = &(*link)->listed.next) {
      if (*link != &one) continue;
      *link = one.listed.next;
      break;
    }
    pthread_rwlock_unlock(&lock_);
  }
  // Calls `use` for `top` and all groups below it; the list does not change meanwhile.
  template <class Use>
  void each_below(const T& top, Use&& use) {
    pthread_rwlock_rdlock(&lock_);
    for (T* one = first_; one; one = one->listed.next) {
      for (const T* above = one; above; above = above->parent()) {
        if (above != &top) continue;
        use(*one);
        break;
      }
    }
    pthread_rwlock_unlock(&lock_);
  }

 private:
  pthread_rwlock_t lock_ = PTHREAD_RWLOCK_INITIALIZER;
  T* first_ = nullptr;
};

}  // namespace oom
