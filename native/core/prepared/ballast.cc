#include "core/prepared/ballast.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "core/prepared/image_ranges.h"
#include "core/prepared/mlock.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

namespace oom {

namespace {

// After each chunk a refill checks whether a release has overtaken it.
constexpr size_t kBallastChunk = size_t{4} << 20;

int lock_on_fault(void* at, size_t size) {
  return syscall(SYS_mlock2, at, size, MLOCK_ONFAULT) < 0 ? -errno : 0;
}

int populate(void* at, size_t size) {
  int result;
  do {
    result = madvise(at, size, MADV_POPULATE_WRITE);
  } while (result < 0 && errno == EINTR);
  if (result == 0) return 0;
  if (errno != EINVAL) return -errno;
  // Before 5.14. A plain mlock populates (EAGAIN: it could not); the mapping then goes back to
  // locking on fault.
  if (mlock(at, size) < 0) return errno == EAGAIN ? -ENOMEM : -errno;
  return lock_on_fault(at, size);
}

}  // namespace

Status Ballast::open(size_t bytes) {
  const size_t size = pages_of(nullptr, bytes).size();
  if (size < bytes) return Status::of(-ENOMEM, "mmap");
  if (int err = may_lock(size)) return Status::of(err, "mlock", kMemlockLimit);
  const size_t page = page_size();
  void* all = mmap(nullptr, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return Status::last("mmap");
  void* at = static_cast<char*>(all) + page;
  if (mprotect(at, size, PROT_READ | PROT_WRITE) != 0) {
    Status status = Status::last("mprotect");
    munmap(all, size + 2 * page);
    return status;
  }
  // A child of fork(2) must not hold a second reference to the pages: releasing would free nothing.
  madvise(at, size, MADV_DONTFORK);
  at_ = at;
  size_ = size;
  if (int err = LockedRegions::add(at, size, LockedRegions::Kind::kAlways)) {
    unmap();
    return Status::of(err, "mlock");
  }
  if (Status status = refill(); !status.ok()) {
    close();
    return status;
  }
  return Status::success();
}

int Ballast::drop() {
  if (madvise(at_, size_, MADV_DONTNEED_LOCKED) == 0) return 0;
  if (errno != EINVAL) return -errno;
  if (munlock(at_, size_) < 0) return -errno;
  return madvise(at_, size_, MADV_DONTNEED) < 0 ? -errno : 0;
}

ssize_t Ballast::release() {
  if (at_ == nullptr) return 0;
  releases_.fetch_add(1);
  const size_t bytes = resident_.exchange(0);
  if (int err = drop()) {
    resident_.store(bytes);
    return err;
  }
  return static_cast<ssize_t>(bytes);
}

Status Ballast::refill() {
  if (resident() == size_) return Status::success();
  const unsigned releases = releases_.load();
  // Before 5.18 the release has unlocked it.
  if (int err = lock_on_fault(at_, size_)) return Status::of(err, "mlock2", kMemlockLimit);
  for (size_t done = 0; done < size_;) {
    const size_t length = std::min(kBallastChunk, size_ - done);
    const int err = populate(static_cast<char*>(at_) + done, length);
    if (err != 0 || releases_.load() != releases) {
      // All or nothing: a half-filled ballast would be charged without being of use.
      resident_.store(0);
      drop();
      return Status::of(err != 0 ? err : -ECANCELED, "madvise");
    }
    done += length;
    resident_.store(done);
  }
  if (releases_.load() != releases) {
    resident_.store(0);
    drop();
    return Status::of(-ECANCELED, "madvise");
  }
  return Status::success();
}

void Ballast::close() {
  if (at_ == nullptr) return;
  LockedRegions::remove(at_, size_);
  unmap();
  resident_.store(0);
}

void Ballast::unmap() {
  const size_t page = page_size();
  munmap(static_cast<char*>(at_) - page, size_ + 2 * page);
  at_ = nullptr;
  size_ = 0;
}

}  // namespace oom
