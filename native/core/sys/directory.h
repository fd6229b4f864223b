// Reading a directory without an allocation: readdir(3) has a buffer from malloc(3).
#pragma once

#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace oom::sys {

// As the kernel writes it, getdents64(2).
struct DirectoryEntry {
  uint64_t inode;
  int64_t next;
  uint16_t length;
  uint8_t type;  // DT_DIR, readdir(3)
  char name[];
};

// Calls use(entry) for each entry of an open directory until it gives false: 0 or -errno.
template <class Use>
int each_entry(int dir, Use&& use) {
  alignas(DirectoryEntry) char entries[2048];
  for (;;) {
    long n = syscall(SYS_getdents64, dir, entries, sizeof entries);
    if (n <= 0) return n < 0 ? -errno : 0;
    for (const char* at = entries; at < entries + n;) {
      const auto* entry = reinterpret_cast<const DirectoryEntry*>(at);
      at += entry->length;
      if (!use(*entry)) return 0;
    }
  }
}

}  // namespace oom::sys
