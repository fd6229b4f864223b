#include "core/scout.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "core/fd.h"
#include "core/thread.h"
#include "core/tree.h"

namespace oom {
namespace {

// How long a tree stays incomplete before the next try.
constexpr int kRetryMs = 250;

struct ScoutState {
  PreparedThread thread;
  Fd epoll, wake;
  std::vector<Tree*> trees;
};
ScoutState* scout = nullptr;
// Taken to start, stop and while a tree's events are handled, so that a removed tree is not in use.
pthread_mutex_t scout_lock = PTHREAD_MUTEX_INITIALIZER;

Status listen(int epoll, int fd, void* what) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = what;
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? Status::success()
                                                          : Status::last("epoll_ctl");
}

Status start(void* (*main)(void*)) {
  auto made = std::make_unique<ScoutState>();
  made->epoll.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!made->epoll) return Status::last("epoll_create1");
  made->wake.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!made->wake) return Status::last("eventfd");
  Status status = listen(made->epoll.get(), made->wake.get(), nullptr);
  if (status.ok()) status = made->thread.start("oom-scout", main, made.get());
  if (status.ok()) scout = made.release();
  return status;
}

// Under the lock: takes the state out, to be ended without it.
ScoutState* take_if_idle() {
  return scout && scout->trees.empty() ? std::exchange(scout, nullptr) : nullptr;
}

void end(ScoutState* state) {
  if (!state) return;
  uint64_t one = 1;
  if (::write(state->wake.get(), &one, sizeof one) < 0) return;  // cannot fail: written once
  state->thread.join();
  delete state;
}

}  // namespace

Status Scout::add(Tree& tree) {
  pthread_mutex_lock(&scout_lock);
  Status status = scout ? Status::success() : start(&Scout::main);
  if (status.ok()) status = listen(scout->epoll.get(), tree.inotify_.get(), &tree);
  if (status.ok()) scout->trees.push_back(&tree);
  ScoutState* unused = take_if_idle();
  pthread_mutex_unlock(&scout_lock);
  end(unused);
  return status;
}

void Scout::remove(Tree& tree) {
  pthread_mutex_lock(&scout_lock);
  epoll_ctl(scout->epoll.get(), EPOLL_CTL_DEL, tree.inotify_.get(), nullptr);
  std::erase(scout->trees, &tree);
  ScoutState* last = take_if_idle();
  pthread_mutex_unlock(&scout_lock);
  end(last);
}

void* Scout::main(void* arg) {
  auto* self = static_cast<ScoutState*>(arg);
  int timeout = -1;
  for (;;) {
    // One at a time: a tree may be taken away while another's events are handled.
    epoll_event event;
    int n = epoll_wait(self->epoll.get(), &event, 1, timeout);
    if (n == 1 && !event.data.ptr) return nullptr;
    pthread_mutex_lock(&scout_lock);
    // Removed meanwhile? Then it is not ready any more.
    if (n == 1 && epoll_wait(self->epoll.get(), &event, 1, 0) == 1 && event.data.ptr) {
      static_cast<Tree*>(event.data.ptr)->events();
    }
    bool incomplete = false;
    for (Tree* tree : self->trees) {
      if (n == 0 && tree->incomplete_) tree->rescan();
      incomplete |= tree->incomplete_;
    }
    timeout = incomplete ? kRetryMs : -1;
    pthread_mutex_unlock(&scout_lock);
  }
}

}  // namespace oom
