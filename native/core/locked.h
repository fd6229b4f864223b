// Memory of the out-of-memory path: prefaulted, and locked while the scope LockScope::kOomPath is,
// so that touching it never faults. Owned by a LockedPtr.
//
// Any thread but the sentinel may make and free it. Objects of one size share chunks, so that ten
// thousand guarded groups cost no more locked memory than they need.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "core/result.h"

namespace oom {

// At most locked_most() bytes. Null with the reason in `status`; kMemlockLimit is its file where
// RLIMIT_MEMLOCK is the reason.
void* locked_alloc(size_t size, Status& status);
void locked_free(void* at);
constexpr size_t locked_most() { return 96 * 1024; }

template <class T>
struct LockedDelete {
  void operator()(T* object) const {
    object->~T();
    locked_free(object);
  }
};

template <class T>
using LockedPtr = std::unique_ptr<T, LockedDelete<T>>;

template <class T, class... Args>
LockedPtr<T> make_locked(Status& status, Args&&... args) {
  static_assert(sizeof(T) <= locked_most());
  void* at = locked_alloc(sizeof(T), status);
  return LockedPtr<T>(at ? new (at) T(std::forward<Args>(args)...) : nullptr);
}

}  // namespace oom
