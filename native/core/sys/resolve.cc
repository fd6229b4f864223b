#include "core/sys/resolve.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <string_view>

#include "core/sys/fd.h"
#include "core/sys/small_file.h"

namespace oom::resolve {

namespace {

constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;

bool has_parent_component(std::string_view path) {
  while (!path.empty()) {
    size_t at = path.find('/');
    if (path.substr(0, at) == "..") return true;
    path.remove_prefix(at == std::string_view::npos ? path.size() : at + 1);
  }
  return false;
}

}  // namespace

int open_by_component(int base, const char* path) {
  if (has_parent_component(path)) return -EXDEV;
  int start = path[0] == '/' ? sys::open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY)
                             : sys::open_at(base, ".", O_PATH | O_DIRECTORY);
  if (start < 0) return start;
  Fd at(start);
  char name[NAME_MAX + 1];
  for (;;) {
    while (*path == '/') path++;
    if (*path == '\0') return sys::open_at(at.get(), ".", kFlags);
    size_t length = strcspn(path, "/");
    if (length > NAME_MAX) return -ENAMETOOLONG;
    memcpy(name, path, length);
    name[length] = '\0';
    int next = sys::open_at(at.get(), name, O_PATH | O_DIRECTORY);
    if (next < 0) return next;
    at.reset(next);
    path += length;
  }
}

int open_directory(int base, const char* path) {
  if (has_parent_component(path)) return -EXDEV;
  open_how how{};
  how.flags = kFlags;
  how.resolve = RESOLVE_NO_SYMLINKS;
  for (;;) {
    long fd = syscall(SYS_openat2, base, path, &how, sizeof how);
    if (fd >= 0) return static_cast<int>(fd);
    // One call takes no path of 4096 bytes, and groups can be deeper.
    if (errno == ENOSYS || errno == EPERM || errno == ENAMETOOLONG) {
      return open_by_component(base, path);
    }
    if (errno != EINTR && errno != EAGAIN) return -errno;
  }
}

}  // namespace oom::resolve
