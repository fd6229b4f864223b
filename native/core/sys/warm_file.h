// Warm files of a group with one number (v2: or "max" for none): read and written without an
// allocation.
#pragma once

#include <charconv>
#include <cstdint>
#include <string_view>

#include "core/sys/fd.h"
#include "core/sys/parse.h"
#include "core/sys/small_file.h"

namespace oom {

inline int read_number(const Fd& file, uint64_t& out) {
  char text[32];
  ssize_t n = sys::read_small(file.get(), text, sizeof text);
  return n < 0 ? static_cast<int>(n) : parse::u64({text, static_cast<size_t>(n)}, out);
}

inline int write_number(const Fd& file, uint64_t value) {
  char text[24];
  char* end = std::to_chars(text, text + sizeof text, value).ptr;
  return sys::write_small(file.get(), {text, static_cast<size_t>(end - text)});
}

// v2.
inline int read_limit(int file, uint64_t& out) {
  char text[32];
  ssize_t n = sys::read_small(file, text, sizeof text);
  return n < 0 ? static_cast<int>(n) : parse::limit({text, static_cast<size_t>(n)}, out);
}
inline int read_limit(const Fd& file, uint64_t& out) { return read_limit(file.get(), out); }

inline int write_limit(const Fd& file, uint64_t bytes) {
  constexpr uint64_t kNone = uint64_t{1} << 62;  // no machine has that much
  return bytes >= kNone ? sys::write_small(file.get(), "max") : write_number(file, bytes);
}

}  // namespace oom
