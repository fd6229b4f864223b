#include "core/sys/small_file.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "core/sys/fd.h"

namespace oom::sys {
namespace {

constexpr size_t kOneRead = 4096;

}  // namespace

int64_t now_ns() {
  timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

ssize_t read_small(int fd, char* buf, size_t size) {
  size_t used = 0;
  while (used < size) {
    ssize_t n = pread(fd, buf + used, size - used, static_cast<off_t>(used));
    if (n < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    used += static_cast<size_t>(n);
    // The kernel's files give all that there is up to a page, so no second read has to ask for the
    // end.
    if (n == 0 || (used < size && used < kOneRead)) {
      buf[used] = '\0';
      return static_cast<ssize_t>(used);
    }
  }
  return -E2BIG;
}

int write_small(int fd, std::string_view text) {
  for (;;) {
    ssize_t n = pwrite(fd, text.data(), text.size(), 0);
    if (n >= 0) return 0;
    if (errno != EINTR) return -errno;
  }
}

int open_at(int dir, const char* name, int flags) {
  for (;;) {
    int fd = openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0) return fd;
    if (errno != EINTR) return -errno;
  }
}

ssize_t read_at(int dir, const char* name, char* buf, size_t size) {
  Fd fd(open_at(dir, name, O_RDONLY));
  if (!fd) return fd.get();
  return read_small(fd.get(), buf, size);
}

int write_at(int dir, const char* name, std::string_view text) {
  Fd fd(open_at(dir, name, O_WRONLY));
  if (!fd) return fd.get();
  return write_small(fd.get(), text);
}

}  // namespace oom::sys
