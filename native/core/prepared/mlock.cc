#include "core/prepared/mlock.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <vector>

#include "core/prepared/image_ranges.h"
#include "core/sys/small_file.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace oom {

namespace {

struct Region {
  Range range;
  LockedRegions::Kind kind;
};

// Process-wide, under its mutex; trivially destructible, since threads outlive exit handlers.
struct State {
  std::mutex mutex;
  Region* regions = nullptr;
  size_t count = 0, room = 0;
  unsigned holders[2] = {};
};
constinit State state;

class Guard {
 public:
  Guard() { state.mutex.lock(); }
  ~Guard() { state.mutex.unlock(); }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
};

void* at(const Range& range) { return reinterpret_cast<void*>(range.begin); }

unsigned& holders(LockScope scope) { return state.holders[static_cast<size_t>(scope)]; }

int lock_now(const Range& range) { return mlock(at(range), range.size()) < 0 ? -errno : 0; }

// mlock2(2) by number: musl has no wrapper. Where there is no such call (QEMU's emulation of a
// processor), all of it is locked now.
int lock_on_fault(const Range& range) {
  if (syscall(SYS_mlock2, at(range), range.size(), MLOCK_ONFAULT) == 0) return 0;
  return errno == ENOSYS ? lock_now(range) : -errno;
}

int lock_region(const Region& region) {
  return region.kind == LockedRegions::Kind::kAlways ? lock_on_fault(region.range)
                                                     : lock_now(region.range);
}

bool held(const Region& region) {
  return region.kind == LockedRegions::Kind::kAlways || holders(LockScope::kOomPath) > 0;
}

// The ranges of a scope, with the regions registered for it.
std::vector<Range> ranges_of(LockScope scope, Stack stack = Stack::kToLock) {
  if (scope == LockScope::kProcess) return process_ranges(stack);
  std::vector<Range> ranges = image_ranges(Images::kOomPath);
  for (size_t i = 0; i < state.count; i++) {
    if (state.regions[i].kind == LockedRegions::Kind::kOomPath) {
      ranges.push_back(state.regions[i].range);
    }
  }
  return ranges;
}

size_t total(const std::vector<Range>& ranges) {
  size_t bytes = 0;
  for (const Range& range : ranges) bytes += range.size();
  return bytes;
}

// After an munlock of `gone` that may have taken others' pages along. The pages are resident still,
// so that this finds its budget where it was.
void relock(const Range& gone = {0, UINTPTR_MAX}) {
  auto touched = [&](const Range& range) {
    return range.begin < gone.end && gone.begin < range.end;
  };
  for (const LockScope scope : {LockScope::kOomPath, LockScope::kProcess}) {
    if (holders(scope) == 0) continue;
    for (const Range& range : ranges_of(scope)) {
      if (touched(range)) lock_now(range);
    }
  }
  for (size_t i = 0; i < state.count; i++) {
    const Region& region = state.regions[i];
    if (touched(region.range) && held(region)) lock_region(region);
  }
}

// Room for one more in the table.
bool make_room() {
  if (state.count < state.room) return true;
  const size_t room = state.room == 0 ? 256 : 2 * state.room;
  void* grown = realloc(state.regions, room * sizeof(Region));
  if (!grown) return false;
  state.regions = static_cast<Region*>(grown);
  state.room = room;
  return true;
}

// One "Name:   123 kB" line of /proc/self/status, in bytes.
uint64_t status_bytes(std::string_view status, std::string_view name) {
  size_t start = status.find(name);
  if (start == status.npos) return 0;
  start = status.find_first_not_of(" \t", start + name.size());
  uint64_t value = 0;
  if (start != status.npos) {
    std::from_chars(status.data() + start, status.data() + status.size(), value);
  }
  return value * 1024;
}

Status lock_ranges(const std::vector<Range>& ranges, size_t already) {
  const size_t bytes = total(ranges);
  if (int err = may_lock(bytes - std::min(bytes, already))) {
    return Status::of(err, "mlock", kMemlockLimit);
  }
  for (const Range& range : ranges) {
    if (int err = lock_now(range)) {
      for (const Range& done : ranges) munlock(at(done), done.size());
      return Status::of(err, "mlock");
    }
  }
  return Status::success();
}

}  // namespace

int lock_range(const void* address, size_t length) { return lock_now(pages_of(address, length)); }

Status make_resident(void* address, size_t length) {
  if (madvise(address, length, MADV_POPULATE_WRITE) == 0) return Status::success();
  if (errno != EINVAL) return Status::last("madvise");
  // Before 5.14. What others have written, or are writing, on the same page stays as it is.
  for (size_t offset = 0; offset < length; offset += page_size()) {
    __atomic_fetch_or(static_cast<char*>(address) + offset, 0, __ATOMIC_RELAXED);
  }
  return Status::success();
}

int may_lock(size_t bytes) {
  if (bytes == 0) return 0;
  const size_t length = pages_of(nullptr, bytes).size();
  // Readable: 5.10 refuses to lock what may not be accessed (ENOMEM), 6.1 does not.
  void* probe =
      mmap(nullptr, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (probe == MAP_FAILED) return -errno;
  const int err = lock_on_fault(
      {reinterpret_cast<uintptr_t>(probe), reinterpret_cast<uintptr_t>(probe) + length});
  munmap(probe, length);
  return err;
}

int LockedRegions::add(const void* address, size_t length, Kind kind) {
  Guard guard;
  if (!make_room()) return -ENOMEM;
  const Region region{pages_of(address, length), kind};
  if (held(region)) {
    if (int err = lock_region(region)) return err;
  }
  state.regions[state.count++] = region;
  return 0;
}

void LockedRegions::remove(const void* address, size_t length) {
  Guard guard;
  const Range range = pages_of(address, length);
  auto* end = state.regions + state.count;
  auto* found = std::find_if(state.regions, end, [&](const Region& r) { return r.range == range; });
  if (found == end) return;
  const bool locked = held(*found);
  *found = end[-1];
  state.count--;
  if (!locked) return;
  munlock(at(range), range.size());
  relock(range);
}

Status lock_scope(LockScope scope, size_t* bytes) {
  Guard guard;
  // Ten thousand guards may call this one after the other: only the first reads the ranges.
  std::vector<Range> ranges;
  if (bytes || holders(scope) == 0) ranges = ranges_of(scope);
  if (bytes) *bytes = total(ranges);
  if (holders(scope) == 0) {
    // The images of the OOM path are part of the process's: not asked for twice.
    const LockScope other =
        scope == LockScope::kProcess ? LockScope::kOomPath : LockScope::kProcess;
    const size_t already = holders(other) > 0 ? total(image_ranges(Images::kOomPath)) : 0;
    if (Status status = lock_ranges(ranges, already); !status.ok()) {
      relock();
      return status;
    }
  }
  holders(scope)++;
  return Status::success();
}

void unlock_scope(LockScope scope) {
  Guard guard;
  if (holders(scope) == 0 || --holders(scope) > 0) return;
  for (const Range& range : ranges_of(scope, Stack::kWhole)) munlock(at(range), range.size());
  relock();
}

size_t scope_bytes(LockScope scope) {
  Guard guard;
  return total(ranges_of(scope));
}

Status lock_all(int flags) {
  const MemlockNumbers numbers = memlock_numbers();
  if (flags & MCL_CURRENT) {
    const size_t more = numbers.virtual_size - std::min(numbers.virtual_size, numbers.locked);
    if (int err = may_lock(more)) return Status::of(err, "mlockall", kMemlockLimit);
  }
  if ((flags & MCL_FUTURE) && numbers.limit != UINT64_MAX) {
    // More than the limit itself: only a process that no limit applies to may.
    if (int err = may_lock(numbers.limit + page_size())) {
      return Status::of(err, "mlockall", kMemlockLimit);
    }
  }
  return mlockall(flags) < 0 ? Status::last("mlockall") : Status::success();
}

Status unlock_all() {
  Guard guard;
  if (munlockall() < 0) return Status::last("munlockall");
  relock();
  return Status::success();
}

MemlockNumbers memlock_numbers() {
  MemlockNumbers numbers{UINT64_MAX, 0, 0};
  rlimit limit;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    numbers.limit = limit.rlim_cur;
  }
  char text[8192];
  const ssize_t n = sys::read_at(AT_FDCWD, "/proc/self/status", text, sizeof text);
  if (n > 0) {
    const std::string_view status(text, static_cast<size_t>(n));
    numbers.virtual_size = status_bytes(status, "\nVmSize:");
    numbers.locked = status_bytes(status, "\nVmLck:");
  }
  return numbers;
}

}  // namespace oom
