#include "core/memcg/shared_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <mutex>
#include <utility>

#include "core/sys/small_file.h"

namespace oom::shared_files {
namespace {

using Key = std::pair<dev_t, ino_t>;

std::mutex lock;
// Never freed: threads outlive exit handlers.
std::map<Key, std::weak_ptr<const Fd>>* files = nullptr;

void close_last(const Key& key, const Fd* file) {
  {
    std::lock_guard held(lock);
    // Opened again meanwhile?
    if (auto it = files->find(key); it != files->end() && it->second.expired()) files->erase(it);
  }
  delete file;
}

}  // namespace

std::shared_ptr<const Fd> open(int dir, const char* name, int& err) {
  struct stat st;
  if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
    err = -errno;
    return nullptr;
  }
  // Declared before the lock: dropping the last reference takes the lock.
  std::shared_ptr<const Fd> found;
  std::lock_guard held(lock);
  if (!files) files = new std::map<Key, std::weak_ptr<const Fd>>();
  Key key{st.st_dev, st.st_ino};
  if (auto it = files->find(key); it != files->end()) found = it->second.lock();
  if (found) return found;
  Fd opened(sys::open_at(dir, name, O_RDONLY));
  if (!opened) {
    err = opened.get();
    return nullptr;
  }
  // The first read makes the kernel allocate the read buffer, charged to us.
  char text[4096];
  if (pread(opened.get(), text, sizeof text, 0) < 0) {
    err = -errno;
    return nullptr;
  }
  auto* made = new Fd(std::move(opened));
  found = std::shared_ptr<const Fd>(made, [key](const Fd* file) { close_last(key, file); });
  (*files)[key] = found;
  return found;
}

}  // namespace oom::shared_files
