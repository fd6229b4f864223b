// How the core reports failure: a negative errno, with the system call and the file it was about.
// No exceptions, no strings that would have to be allocated: both names are literals.
#pragma once

#include <cerrno>

namespace oom {

struct [[nodiscard]] Status {
  int err = 0;                    // 0 or a negative errno
  const char* syscall = nullptr;  // "openat", "write", …
  const char* file = nullptr;     // the control file's name, where there is one

  bool ok() const { return err == 0; }

  static Status success() { return {}; }
  // Takes errno as the system call left it.
  static Status last(const char* syscall, const char* file = nullptr) {
    return {-errno, syscall, file};
  }
  static Status of(int err, const char* syscall, const char* file = nullptr) {
    return {err, syscall, file};
  }
};

}  // namespace oom
