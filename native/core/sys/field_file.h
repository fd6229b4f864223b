// Reading files of "key value" lines (memory.events, memory.stat, memory.oom_control) however long
// they are, without an allocation: on any thread, the sentinel too.
//
// Kernel contract: a read at offset 0 makes the kernel write the file's text again, and the next
// reads continue in that text, as long as no other thread reads the same descriptor meanwhile.
// Kernels add keys (memory.events: sock_throttled since 6.19; memory.stat has got some in each
// year).
#pragma once

#include <cstddef>

#include "core/sys/parse.h"

namespace oom {

// 0, -errno of the read, or what FieldLines gives. Today's files take one read.
int read_fields(int fd, parse::Field* fields, size_t count);

int read_fields(int fd, parse::MemoryEvents& out);
int read_fields(int fd, parse::OomControl& out);
int read_fields(int fd, parse::CgroupEvents& out);

// A field that a kernel does not have counts as 0.
int read_field(int fd, const char* key, uint64_t& out);

// Of a file that is opened for it: also -errno of the open.
template <class Out>
int read_fields_at(int dir, const char* name, Out& out);

}  // namespace oom
