// Reading and writing control files relative to their directory's fd, as Status with the name of
// the system call that failed. For the cold path: each call opens the file again. Any thread.
//
// Kernel contract: in a removed group open(2) gives ENOENT, also when a group of the same name has
// been made since; what was open already gives ENODEV.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/sys/status.h"
#include "core/sys/units.h"

namespace oom::control {

// Into buf, whole; `text` is a view of it.
Status read(int dir, const char* name, char* buf, size_t size, std::string_view& text);
// A number, or kUnlimited for "max".
Status read_number(int dir, const char* name, uint64_t& out);
// The fields of a file of "key value" lines: field_file.h.
template <class Out>
Status fields(int dir, const char* name, Out& out);
Status write(int dir, const char* name, std::string_view text);
Status write_number(int dir, const char* name, uint64_t value);
// Whether the list of words in the file has the word (cgroup.controllers).
Status lists(int dir, const char* name, std::string_view word, bool& out);
// Whether the directory has such a file.
bool has(int dir, const char* name);

}  // namespace oom::control
