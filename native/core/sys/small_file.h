// System calls on small files, errno-shaped: each returns a value or a negative errno, restarts
// after EINTR, and allocates nothing.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace oom::sys {

// CLOCK_MONOTONIC in nanoseconds: process.hrtime.bigint()'s clock.
int64_t now_ns();

// Reads a whole small file of the kernel's (kernfs, proc: seq_file, which never splits less than a
// page) from its start into buf; the length, at most size - 1, or -errno.
// The text is terminated with NUL. -E2BIG when it did not fit.
ssize_t read_small(int fd, char* buf, size_t size);

// Writes the text in one write(2) at offset 0, as control files want it: 0 or -errno.
int write_small(int fd, std::string_view text);

// openat(2) with O_CLOEXEC | O_NOFOLLOW added: an fd or -errno.
int open_at(int dir, const char* name, int flags);

// open, read_small, close.
ssize_t read_at(int dir, const char* name, char* buf, size_t size);

// open, write_small, close.
int write_at(int dir, const char* name, std::string_view text);

}  // namespace oom::sys
