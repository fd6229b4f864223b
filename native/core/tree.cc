#include "core/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "core/sys.h"
#include "core/thread.h"

namespace oom {

// The thread that waits for all trees. Started with the first, stopped with the last.
class Scout {
 public:
  static Status add(Tree& tree);
  static void remove(Tree& tree);

 private:
  static void* main(void*);
};

namespace {

struct ScoutState {
  PreparedThread thread;
  Fd epoll, wake;
  int trees = 0;
};
ScoutState* scout = nullptr;
// Taken to start, stop and while a tree's events are handled, so that a removed tree is not in use.
pthread_mutex_t scout_lock = PTHREAD_MUTEX_INITIALIZER;

}  // namespace

Status Scout::add(Tree& tree) {
  pthread_mutex_lock(&scout_lock);
  Status status;
  if (!scout) {
    auto made = std::make_unique<ScoutState>();
    made->epoll.reset(epoll_create1(EPOLL_CLOEXEC));
    if (!made->epoll) status = Status::last("epoll_create1");
    made->wake.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (status.ok() && !made->wake) status = Status::last("eventfd");
    epoll_event event{};
    event.events = EPOLLIN;
    if (status.ok() && epoll_ctl(made->epoll.get(), EPOLL_CTL_ADD, made->wake.get(), &event) != 0) {
      status = Status::last("epoll_ctl");
    }
    if (status.ok()) status = made->thread.start("oom-scout", &Scout::main, made.get());
    if (status.ok()) scout = made.release();
  }
  if (status.ok()) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &tree;
    if (epoll_ctl(scout->epoll.get(), EPOLL_CTL_ADD, tree.inotify_.get(), &event) != 0) {
      status = Status::last("epoll_ctl");
    } else {
      scout->trees++;
    }
  }
  pthread_mutex_unlock(&scout_lock);
  return status;
}

void Scout::remove(Tree& tree) {
  ScoutState* last = nullptr;
  pthread_mutex_lock(&scout_lock);
  epoll_ctl(scout->epoll.get(), EPOLL_CTL_DEL, tree.inotify_.get(), nullptr);
  if (--scout->trees == 0) last = std::exchange(scout, nullptr);
  pthread_mutex_unlock(&scout_lock);
  if (!last) return;
  uint64_t one = 1;
  if (::write(last->wake.get(), &one, sizeof one) < 0) return;  // cannot fail: it is written once
  last->thread.join();
  delete last;
}

void* Scout::main(void* arg) {
  auto* self = static_cast<ScoutState*>(arg);
  for (;;) {
    // One at a time: a tree may be taken away while another's events are handled.
    epoll_event event;
    if (epoll_wait(self->epoll.get(), &event, 1, -1) < 1) continue;
    if (!event.data.ptr) return nullptr;
    pthread_mutex_lock(&scout_lock);
    // Removed meanwhile? Then it is not ready any more.
    if (epoll_wait(self->epoll.get(), &event, 1, 0) == 1 && event.data.ptr) {
      static_cast<Tree*>(event.data.ptr)->events();
    }
    pthread_mutex_unlock(&scout_lock);
  }
}

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
  found(0, "");
  bool any = !by_watch_.empty();
  pthread_mutex_unlock(&lock_);
  if (!any) return Status::of(-ENODEV, "inotify_add_watch");
  if (!own_thread) return Status::success();
  Status status = Scout::add(*this);
  scouted_ = status.ok();
  if (!status.ok()) inotify_.reset();
  return status;
}

void Tree::close() {
  pthread_mutex_lock(&life_);
  closed_ = true;
  if (inotify_) {
    if (scouted_) Scout::remove(*this);
    inotify_.reset();
    by_watch_.clear();
    watch_by_name_.clear();
  }
  for (Fd& spare : spare_) spare.reset();
  pthread_mutex_unlock(&life_);
}

void Tree::rescan() {
  pthread_mutex_lock(&lock_);
  // Listing adds to the map: walk over a copy.
  auto dirs = by_watch_;
  for (auto& item : dirs) {
    const Dir& dir = item.second;
    Place place(root_, dir.name, dir.inode);
    place.with([&](int fd) {
      list(dir, fd);
      return 0;
    });
  }
  pthread_mutex_unlock(&lock_);
}

void Tree::found(uint32_t parent, const std::string& name) {
  Fd dir(sys::open_at(root_->get(), name.empty() ? "." : name.c_str(), O_RDONLY | O_DIRECTORY));
  if (!dir && !is_gone(dir.get())) return blind(dir.get(), name);
  struct stat st;
  if (!dir || fstat(dir.get(), &st) != 0) return;
  if (auto it = watch_by_name_.find(name); it != watch_by_name_.end()) {
    if (by_watch_[it->second].inode == st.st_ino) return;
    lost(name);  // made again under the same name
  }
  char self[40];
  snprintf(self, sizeof self, "/proc/self/fd/%d", dir.get());
  int watch = inotify_add_watch(inotify_.get(), self, IN_CREATE | IN_DELETE | IN_ONLYDIR);
  if (watch < 0) {
    if (!is_gone(-errno)) listener_.out_of_sight(-errno, Place(root_, name, st.st_ino), dir.get());
    return;
  }
  uint32_t id = listener_.appeared(parent, Place(root_, name, st.st_ino), dir.get());
  if (id == 0) {
    inotify_rm_watch(inotify_.get(), watch);
    return;
  }
  by_watch_[watch] = {name, st.st_ino, id};
  watch_by_name_[name] = watch;
  list({name, st.st_ino, id}, dir.get());
}

void Tree::keep_spare() {
  for (Fd& spare : spare_) {
    if (!spare) spare.reset(fcntl(root_->get(), F_DUPFD_CLOEXEC, 0));
  }
}

// One descriptor for the directory, one for whoever is told.
void Tree::blind(int err, const std::string& name) {
  for (Fd& spare : spare_) spare.reset();
  {
    Fd dir(sys::open_at(root_->get(), name.empty() ? "." : name.c_str(), O_RDONLY | O_DIRECTORY));
    struct stat st;
    if (dir && fstat(dir.get(), &st) == 0) {
      listener_.out_of_sight(err, Place(root_, name, st.st_ino), dir.get());
    }
  }
  keep_spare();
}

void Tree::lost(const std::string& name) {
  auto it = watch_by_name_.find(name);
  if (it == watch_by_name_.end()) return;
  int watch = it->second;
  auto dir = by_watch_.find(watch);
  uint32_t id = dir->second.id;
  watch_by_name_.erase(it);
  by_watch_.erase(dir);
  inotify_rm_watch(inotify_.get(), watch);
  listener_.vanished(id);
}

void Tree::list(const Dir& dir, int fd) {
  // A description of its own: the position of the other is not ours.
  int own = sys::open_at(fd, ".", O_RDONLY | O_DIRECTORY);
  if (own < 0) return;
  DIR* entries = fdopendir(own);
  if (!entries) {
    ::close(own);
    return;
  }
  while (dirent* entry = readdir(entries)) {
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
    found(dir.id, dir.name.empty() ? entry->d_name : dir.name + "/" + entry->d_name);
  }
  closedir(entries);
}

void Tree::events(int batches) {
  alignas(inotify_event) char buffer[16 * 1024];
  bool overflowed = false;
  while (batches-- > 0) {
    ssize_t n = ::read(inotify_.get(), buffer, sizeof buffer);
    if (n <= 0) break;
    pthread_mutex_lock(&lock_);
    for (char* at = buffer; at < buffer + n;) {
      auto* event = reinterpret_cast<inotify_event*>(at);
      at += sizeof(inotify_event) + event->len;
      if (event->mask & IN_Q_OVERFLOW) overflowed = true;
      auto it = by_watch_.find(event->wd);
      if (it == by_watch_.end()) continue;
      if (!(event->mask & IN_ISDIR)) continue;
      uint32_t parent = it->second.id;
      std::string name =
          it->second.name.empty() ? event->name : it->second.name + "/" + event->name;
      if (event->mask & IN_CREATE) found(parent, name);
      if (event->mask & IN_DELETE) {
        // Unless another has its name already: that one was found with its own event.
        Fd dir(sys::open_at(root_->get(), name.c_str(), O_PATH | O_DIRECTORY));
        if (!dir) lost(name);
      }
    }
    pthread_mutex_unlock(&lock_);
  }
  if (overflowed) rescan();
}

}  // namespace oom
