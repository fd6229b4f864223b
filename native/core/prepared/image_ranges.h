// The address ranges that locking is about: the segments of the loaded program images, as the
// dynamic linker knows them, and the two mappings that only /proc/self/maps names.
// Any thread that may allocate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/sys/page.h"

namespace oom {

struct Range {
  uintptr_t begin = 0;
  uintptr_t end = 0;

  size_t size() const { return end - begin; }
  bool operator==(const Range&) const = default;
};

// Rounded outwards to whole pages.
Range pages_of(const void* address, size_t length);

enum class Images : uint8_t {
  kOomPath,  // this addon, libc and the dynamic linker
  kAll,
};
// The PT_LOAD segments, .bss included, in whole pages, sorted and merged.
std::vector<Range> image_ranges(Images which);

// One line of /proc/PID/maps: proc_pid_maps(5).
struct MapsLine {
  Range range;
  bool heap;     // [heap], without the page that musl's malloc keeps inaccessible at its beginning
  bool stack;    // [stack], of the main thread
  bool program;  // an executable mapping of a file
};
// false: it is none.
bool maps_line(std::string_view line, MapsLine& out);

// All images, the executable file mappings that are not the dynamic linker's (V8 maps its builtins,
// which are in the program, a second time), [heap], and [stack]; sorted and merged.
//
// To be locked: [stack] without its lowest page. The kernel checks a locked stack that grows
// against RLIMIT_MEMLOCK, and a refusal is SIGSEGV; so the mapping that grows stays an unlocked
// one.
enum class Stack : uint8_t { kToLock, kWhole };
std::vector<Range> process_ranges(Stack stack);

}  // namespace oom
