// Resident, locked memory that is there to be released: MemoryReserve, and a guard's ballast.
//
// open, refill and close belong to one owner; release() may come from any thread at any time, also
// from the sentinel's helpers while the owner is inside refill(): it is one madvise(2) on a mapping
// that exists, allocates nothing and takes no lock of ours. The owner must not close while another
// thread may still call release().
//
// Kernel contract: MADV_DONTNEED_LOCKED (5.18) frees pages of a locked mapping and leaves it
// locked; before, munlock + MADV_DONTNEED does. MADV_POPULATE_WRITE (5.14) and mlock fault pages in
// from inside a system call, where a full group gives ENOMEM instead of waiting for its OOM to end.
// A page without access on either side keeps the mapping apart: adjacent ones with the same flags
// are one to the kernel, and to munlock a part of it needs memory, which a full group has not.
#pragma once

#include <atomic>
#include <cstddef>

#include "core/sys/status.h"

namespace oom {

class Ballast {
 public:
  Ballast() = default;
  Ballast(const Ballast&) = delete;
  Ballast& operator=(const Ballast&) = delete;
  ~Ballast() { close(); }

  // Maps, locks and populates: resident when it returns. `bytes` is rounded up to whole pages.
  Status open(size_t bytes);
  // Gives all pages back to the system and their charge to the group: the bytes that were resident,
  // 0 when there were none, or -errno. A refill in progress ends with -ECANCELED.
  ssize_t release();
  // Populates again. Success when it is full already.
  Status refill();
  void close();

  const void* data() const { return at_; }
  size_t size() const { return size_; }
  size_t resident() const { return resident_.load(std::memory_order_relaxed); }

 private:
  int drop();
  void unmap();

  void* at_ = nullptr;
  size_t size_ = 0;
  std::atomic<size_t> resident_{0};
  std::atomic<unsigned> releases_{0};
};

}  // namespace oom
