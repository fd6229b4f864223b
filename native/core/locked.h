// Memory of the out-of-memory path: whole pages, prefaulted and locked, so that touching it never
// faults. Owned by a LockedPtr.
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "core/result.h"

namespace oom {

template <class T>
struct LockedDelete {
  static constexpr size_t kSize = (sizeof(T) + 4095) & ~size_t{4095};
  void operator()(T* object) const {
    object->~T();
    munmap(static_cast<void*>(object), kSize);
  }
};

template <class T>
using LockedPtr = std::unique_ptr<T, LockedDelete<T>>;

// Null with the reason in `status`: ENOMEM from mlock(2) means RLIMIT_MEMLOCK.
template <class T, class... Args>
LockedPtr<T> make_locked(Status& status, Args&&... args) {
  constexpr size_t size = LockedDelete<T>::kSize;
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                  -1, 0);
  if (at == MAP_FAILED) {
    status = Status::last("mmap");
    return nullptr;
  }
  if (mlock(at, size) != 0) {
    status = Status::last("mlock");
    munmap(at, size);
    return nullptr;
  }
  status = Status::success();
  return LockedPtr<T>(new (at) T(std::forward<Args>(args)...));
}

}  // namespace oom
