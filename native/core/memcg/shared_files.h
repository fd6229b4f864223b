// Files of groups above, which all guards below them read: one descriptor for the process, however
// many guards.
//
// Any thread but the sentinel, which only reads descriptors that their owner keeps open.
#pragma once

#include <memory>

#include "core/sys/fd.h"

namespace oom::shared_files {

// Opens the file for reading and reads it once, or returns the one that is open already. Null:
// `err` is a negative errno. The file is closed with the last reference.
std::shared_ptr<const Fd> open(int dir, const char* name, int& err);

}  // namespace oom::shared_files
