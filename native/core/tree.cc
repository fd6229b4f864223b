#include "core/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "core/scout.h"
#include "core/sys.h"

namespace oom {
namespace {

// Calls use() with the name of each directory in `dir`, whose own name is `name`: 0 or -errno.
template <class Use>
int for_each_below(const std::string& name, Fd dir, Use&& use) {
  DIR* entries = fdopendir(dir.get());
  if (!entries) return -errno;
  dir.release();
  while (dirent* entry = readdir(entries)) {
    const char* own = entry->d_name;
    if (entry->d_type != DT_DIR || strcmp(own, ".") == 0 || strcmp(own, "..") == 0) continue;
    use(name.empty() ? own : name + "/" + own);
  }
  closedir(entries);
  return 0;
}

}  // namespace

Status Tree::open(std::shared_ptr<const Fd> root, bool own_thread) {
  pthread_mutex_lock(&life_);
  Status status = closed_ ? Status::of(-ECANCELED, nullptr) : open_now(std::move(root), own_thread);
  pthread_mutex_unlock(&life_);
  return status;
}

Status Tree::open_now(std::shared_ptr<const Fd> root, bool own_thread) {
  root_ = std::move(root);
  inotify_.reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify_) return Status::last("inotify_init1");
  keep_spare();
  pthread_mutex_lock(&lock_);
  unexplored_.push_back({0, ""});
  explore();
  Status status = failure_;
  if (status.ok() && closing_) status = Status::of(-ECANCELED, nullptr);
  if (status.ok() && dirs_.empty()) status = Status::of(-ENODEV, "open");
  opened_ = true;
  pthread_mutex_unlock(&lock_);
  if (status.ok() && own_thread) {
    status = Scout::add(*this);
    scouted_ = status.ok();
  }
  if (!status.ok()) {
    inotify_.reset();
    dirs_.clear();
    names_.clear();
    files_.clear();
    root_.reset();
  }
  return status;
}

void Tree::close() {
  closing_ = true;
  pthread_mutex_lock(&life_);
  closed_ = true;
  if (inotify_) {
    if (scouted_) Scout::remove(*this);
    inotify_.reset();
    dirs_.clear();
    names_.clear();
    files_.clear();
    root_.reset();
  }
  for (Fd& spare : spare_) spare.reset();
  pthread_mutex_unlock(&life_);
}

void Tree::rescan() {
  pthread_mutex_lock(&lock_);
  incomplete_ = false;
  // Exploring changes the map: walk over its names.
  std::vector<std::string> names;
  names.reserve(dirs_.size());
  for (auto& [name, dir] : dirs_) names.push_back(name);
  for (auto& name : names) {
    auto it = dirs_.find(name);
    if (it == dirs_.end() || closing_) continue;
    Fd dir(sys::open_at(root_->get(), name.empty() ? "." : name.c_str(), O_RDONLY | O_DIRECTORY));
    struct stat st;
    if (!dir && !is_gone(dir.get())) {
      trouble(dir.get(), "open");
      continue;
    }
    if (!dir || fstat(dir.get(), &st) != 0 || st.st_ino != it->second.inode) {
      // Removed; another one of the same name is found in the list of the group above.
      lost(name);
      continue;
    }
    if (it->second.watch < 0) it->second.watch = watch(name, dir.get());
    uint32_t id = it->second.id;
    list(name, id, std::move(dir));
    explore();
  }
  pthread_mutex_unlock(&lock_);
}

void Tree::explore() {
  while (!unexplored_.empty()) {
    Unexplored next = std::move(unexplored_.back());
    unexplored_.pop_back();
    if (!closing_) found(next.parent, next.name);
  }
}

void Tree::found(uint32_t parent, const std::string& name) {
  Fd dir(sys::open_at(root_->get(), name.empty() ? "." : name.c_str(), O_RDONLY | O_DIRECTORY));
  struct stat st;
  if (!dir) {
    if (!is_gone(dir.get())) give_up(dir.get(), name);
    return trouble(dir.get(), "open");
  }
  if (fstat(dir.get(), &st) != 0) return trouble(-errno, "fstat");
  if (auto it = dirs_.find(name); it != dirs_.end()) {
    if (it->second.inode == st.st_ino) return;
    lost(name);  // made again under the same name
  }
  int descriptor = watch(name, dir.get());
  if (descriptor < 0 && give_up(-EAGAIN, name)) return;
  // Else told of even when what will be below it cannot be seen yet.
  uint32_t id = listener_.appeared(parent, Place(root_, name, st.st_ino), dir.get());
  if (id == 0) {
    names_.erase(descriptor);
    if (descriptor >= 0) inotify_rm_watch(inotify_.get(), descriptor);
    return;
  }
  dirs_[name] = {st.st_ino, id, descriptor, watch_file(id, dir.get())};
  // On cgroupfs the links of a directory are its subdirectories, itself and its entry: nothing
  // below it yet, and what comes from now on is told.
  if (descriptor >= 0 && fstat(dir.get(), &st) == 0 && st.st_nlink == 2) return;
  list(name, id, std::move(dir));
}

// The watch descriptor, or -1 and another try later.
int Tree::watch(const std::string& name, int dir) {
  char self[40];
  snprintf(self, sizeof self, "/proc/self/fd/%d", dir);
  int descriptor = inotify_add_watch(inotify_.get(), self, IN_CREATE | IN_DELETE | IN_ONLYDIR);
  if (descriptor >= 0) {
    names_[descriptor] = name;
  } else {
    trouble(-errno, "inotify_add_watch");
  }
  return descriptor;
}

int Tree::watch_file(uint32_t id, int dir) {
  const char* file = listener_.touched_file();
  if (!file) return -1;
  char path[80];
  snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dir, file);
  int descriptor = inotify_add_watch(inotify_.get(), path, IN_MODIFY);
  if (descriptor >= 0) files_[descriptor] = id;
  return descriptor;
}

void Tree::trouble(int err, const char* syscall) {
  if (is_gone(err)) return;
  Status status = Status::of(err, syscall);
  incomplete_ = true;
  if (opened_) {
    listener_.failed(status);
  } else if (failure_.ok()) {
    failure_ = status;
  }
}

void Tree::keep_spare() {
  for (Fd& spare : spare_) {
    if (!spare) spare.reset(fcntl(root_->get(), F_DUPFD_CLOEXEC, 0));
  }
}

// Tells of a group that cannot be seen, and then of all below it, since nothing else will: whether
// they are left at that. With the spare descriptors: one for a directory, one for whoever is told.
bool Tree::give_up(int err, const std::string& name) {
  for (Fd& spare : spare_) spare.reset();
  bool left = false;
  std::vector<std::string> names{name};
  while (!names.empty()) {
    std::string next = std::move(names.back());
    names.pop_back();
    Fd dir(sys::open_at(root_->get(), next.empty() ? "." : next.c_str(), O_RDONLY | O_DIRECTORY));
    struct stat st;
    if (!dir || fstat(dir.get(), &st) != 0) continue;
    if (!listener_.out_of_sight(err, Place(root_, next, st.st_ino), dir.get())) break;
    left = true;
    for_each_below(next, std::move(dir),
                   [&](std::string below) { names.push_back(std::move(below)); });
  }
  keep_spare();
  return left;
}

// With all below it that is gone, too: the events that would tell of those may come after the watch
// that they belong to has been given up here.
void Tree::lost(const std::string& name) {
  const std::string end = name + static_cast<char>('/' + 1);
  std::vector<std::string> gone{name};
  for (auto it = dirs_.lower_bound(name + '/'); it != dirs_.lower_bound(end); ++it) {
    struct stat st;
    bool there = fstatat(root_->get(), it->first.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (!there || st.st_ino != it->second.inode) gone.push_back(it->first);
  }
  // Parents sort before what is below them.
  for (auto it = gone.rbegin(); it != gone.rend(); ++it) forget(*it);
}

void Tree::forget(const std::string& name) {
  auto it = dirs_.find(name);
  if (it == dirs_.end()) return;
  Dir dir = it->second;
  dirs_.erase(it);
  names_.erase(dir.watch);
  files_.erase(dir.file_watch);
  // The kernel keeps it, and the inode, for as long as it is not told.
  for (int descriptor : {dir.watch, dir.file_watch}) {
    if (descriptor >= 0) inotify_rm_watch(inotify_.get(), descriptor);
  }
  listener_.vanished(dir.id);
}

void Tree::list(const std::string& name, uint32_t id, Fd dir) {
  int err = for_each_below(name, std::move(dir), [&](std::string below) {
    unexplored_.push_back({id, std::move(below)});
  });
  if (err != 0) trouble(err, "opendir");
}

// One read: the scout comes again as long as there is more, and other trees have their turn.
void Tree::events() {
  alignas(inotify_event) char buffer[16 * 1024];
  ssize_t n = ::read(inotify_.get(), buffer, sizeof buffer);
  bool overflowed = false;
  pthread_mutex_lock(&lock_);
  for (char* at = buffer; at < buffer + n && !closing_;) {
    auto* one = reinterpret_cast<inotify_event*>(at);
    at += sizeof(inotify_event) + one->len;
    if (one->mask & IN_Q_OVERFLOW) overflowed = true;
    if (one->mask & IN_ISDIR) event(one->wd, one->mask, one->name);
    if (one->mask & IN_MODIFY) {
      if (auto it = files_.find(one->wd); it != files_.end()) listener_.touched(it->second);
    }
  }
  pthread_mutex_unlock(&lock_);
  if (overflowed) rescan();
}

void Tree::event(int watch, uint32_t mask, const char* entry) {
  auto above = names_.find(watch);
  if (above == names_.end()) return;
  std::string name = above->second.empty() ? entry : above->second + "/" + entry;
  if (mask & IN_CREATE) {
    unexplored_.push_back({dirs_[above->second].id, std::move(name)});
    explore();
  } else if (mask & IN_DELETE) {
    // Unless another has its name already: that one was found with its own event.
    struct stat st;
    if (fstatat(root_->get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 && is_gone(-errno)) {
      lost(name);
    }
  }
}

}  // namespace oom
