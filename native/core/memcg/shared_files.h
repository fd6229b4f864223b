// Files of groups above, which all guards below them read: one descriptor for the process, however
// many guards.
//
// Any thread but the sentinel, which reads by number what its owner keeps open.
#pragma once

#include <memory>

#include "core/sys/fd.h"

namespace oom::shared_files {

// Opens for reading and reads once, or has it already: null and `err`, a negative errno. Closed
// with the last that has it.
std::shared_ptr<const Fd> open(int dir, const char* name, int& err);

}  // namespace oom::shared_files
