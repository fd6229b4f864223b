// Memory that must be resident whenever it is touched: locking it, and knowing what was locked, so
// that one caller's munlock never takes another's pages away (locks of the kernel do not nest).
//
// Two scopes, each counted: the OOM path (this addon, libc, and the regions that the sentinel and
// its helpers register: stacks, state, rings), and the process as far as Node.js survives it (all
// program images, [heap] and [stack]; never V8's own memory, which V8 gives back with a
// madvise(MADV_DONTNEED) that must not fail). mlock(2), mlock2(2), munlockall(2).
//
// Any thread but the sentinel: these calls sleep, and the registry has a mutex. The OOM path itself
// touches nothing of this.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/sys/status.h"

namespace oom {

// Status::file of every refusal that RLIMIT_MEMLOCK is the reason for.
inline constexpr const char* kMemlockLimit = "RLIMIT_MEMLOCK";

// Locks and populates: 0 or -errno. Rounded outwards to whole pages. Does not register: the next
// munlock of the same pages by anybody undoes it.
int lock_range(const void* address, size_t length);

// Makes writable pages resident, from within a system call: in a full group that is refused with
// -ENOMEM, where touching them would wait for its OOM to end.
Status make_resident(void* address, size_t length);

// Asks the kernel whether this process may lock so many bytes more, by locking an empty mapping of
// that size: 0, or -ENOMEM, -EPERM, …. Nothing is resident at any time.
int may_lock(size_t bytes);

// Throughout the process's life: what must stay locked.
class LockedRegions {
 public:
  enum class Kind : uint8_t {
    kOomPath,  // locked and populated while the OOM path is locked, from now on if it is
    kAlways,   // locked now and until removed, without being populated (the ballast's pages)
  };
  // 0, or why it could not be locked; it is not registered then.
  static int add(const void* address, size_t length, Kind kind = Kind::kOomPath);
  // Unlocks. Pages shared with another region stay locked.
  static void remove(const void* address, size_t length);
};

enum class LockScope : uint8_t { kOomPath, kProcess };

// Locks the scope, or counts one more holder of it. `bytes`, unless null: what the scope covers
// now. Refused as a whole, with kMemlockLimit, before anything is locked.
Status lock_scope(LockScope scope, size_t* bytes);
// One holder less; the last one unlocks, but for what another scope or region still holds.
void unlock_scope(LockScope scope);
// What the scope would cover now.
size_t scope_bytes(LockScope scope);

// mlockall(2). Refused with kMemlockLimit where the kernel would refuse it, and where it would let
// it pass and make the next allocation fatal instead (MCL_FUTURE under a finite limit).
Status lock_all(int flags);
// munlockall(2), then locks again what is held here.
Status unlock_all();

struct MemlockNumbers {
  uint64_t limit;         // RLIMIT_MEMLOCK's soft limit, UINT64_MAX: none
  uint64_t locked;        // VmLck of /proc/self/status
  uint64_t virtual_size;  // VmSize
};
MemlockNumbers memlock_numbers();

}  // namespace oom
