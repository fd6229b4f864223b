// Memory of the out-of-memory path: prefaulted, and never shared with a child of fork(2), so that a
// write to it never faults. Owned by a LockedPtr.
//
// fork(2) makes each private page copy-on-write, locked ones too: the next write needs a new page,
// which is charged to the process's group, and waits where that group is out of memory. Therefore
// all that the sentinel and the threads beside it write lies here, or on their own stacks
// (thread.h). A child has nothing at these addresses (MADV_DONTFORK): between fork and exec it must
// not touch them.
//
// Two kinds. make_locked() is for what a guard needs: locked while the scope LockScope::kOomPath
// is. make_apart() is for all else that the sentinel writes: there may be tens of thousands of
// watches, more than RLIMIT_MEMLOCK lets a process lock.
//
// Any thread but the sentinel may make and free it. Objects of one size share chunks, so that ten
// thousand guarded groups cost no more locked memory than they need.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "core/sys/status.h"

namespace oom {

enum class Keep : uint8_t { kLocked, kApart };

// At most locked_most() bytes. Null with the reason in `status`; kMemlockLimit is its file where
// RLIMIT_MEMLOCK is the reason.
void* locked_alloc(size_t size, Keep keep, Status& status);
// `at`: anywhere within the object.
void locked_free(void* at);
constexpr size_t locked_most() { return 96 * 1024; }
// Whether it lies in such memory. For checks: takes a lock.
bool is_apart(const void* at);

template <class T>
struct LockedDelete {
  LockedDelete() = default;
  template <class Derived, class = std::enable_if_t<std::is_convertible_v<Derived*, T*>>>
  // NOLINTNEXTLINE(google-explicit-constructor): as default_delete
  LockedDelete(const LockedDelete<Derived>&) {}
  void operator()(T* object) const {
    void* at = object;
    object->~T();
    locked_free(at);
  }
};

template <class T>
using LockedPtr = std::unique_ptr<T, LockedDelete<T>>;

template <class T, Keep keep = Keep::kLocked, class... Args>
LockedPtr<T> make_locked(Status& status, Args&&... args) {
  static_assert(sizeof(T) <= locked_most());
  void* at = locked_alloc(sizeof(T), keep, status);
  return LockedPtr<T>(at ? ::new (at) T(std::forward<Args>(args)...) : nullptr);
}

template <class T, class... Args>
LockedPtr<T> make_apart(Status& status, Args&&... args) {
  return make_locked<T, Keep::kApart>(status, std::forward<Args>(args)...);
}

}  // namespace oom
