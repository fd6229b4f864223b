#include "core/tree/tree_thread.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <mutex>
#include <utility>

#include "core/prepared/thread.h"
#include "core/sys/fd.h"
#include "core/sys/small_file.h"
#include "core/tree/forest.h"
#include "core/tree/inotify_hub.h"

namespace oom {
namespace {

struct TreeThreadState final : InotifyHub::Reader {
  PreparedThread thread;
  Fd epoll, wake;
  std::atomic<bool> stopping{false};
  int users = 0;

  int add(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    return epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
  }
  int listen(int fd) override { return add(fd); }
  void leave(int fd) override { epoll_ctl(epoll.get(), EPOLL_CTL_DEL, fd, nullptr); }
  void ring() {
    uint64_t one = 1;
    if (::write(wake.get(), &one, sizeof one) < 0) return;  // EAGAIN: it is awake
  }
};

// Taken to start and stop, which one thread does after the other, and to be nudged.
std::mutex thread_lock;
TreeThreadState* running = nullptr;
// Held while the errand runs, so that none runs after its release.
std::mutex errand_lock;
TreeThread::Errand* errand_now = nullptr;
int errand_users = 0;

Status start(void* (*main)(void*)) {
  auto made = std::make_unique<TreeThreadState>();
  made->epoll.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!made->epoll) return Status::last("epoll_create1");
  made->wake.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!made->wake) return Status::last("eventfd");
  int err = made->add(made->wake.get());
  if (err == 0) err = InotifyHub::set_reader(made.get());
  Status status = Status::of(err, "epoll_ctl");
  if (status.ok()) status = made->thread.start("oom-tree", main, made.get());
  if (status.ok()) {
    running = made.release();
  } else {
    InotifyHub::set_reader(nullptr);
  }
  return status;
}

void end(TreeThreadState* state) {
  state->stopping = true;
  state->ring();
  state->thread.join();
  InotifyHub::set_reader(nullptr);
  delete state;
}

}  // namespace

Status TreeThread::acquire(Errand* errand) {
  std::lock_guard held(thread_lock);
  if (!running) {
    if (Status status = start(&TreeThread::main); !status.ok()) return status;
  }
  running->users++;
  if (!errand) return Status::success();
  std::lock_guard busy(errand_lock);
  errand_now = errand;
  errand_users++;
  return Status::success();
}

void TreeThread::release(Errand* errand) {
  std::lock_guard held(thread_lock);
  if (errand) {
    std::lock_guard busy(errand_lock);
    if (--errand_users == 0) errand_now = nullptr;
  }
  if (--running->users == 0) end(std::exchange(running, nullptr));
}

void TreeThread::nudge() {
  std::lock_guard held(thread_lock);
  if (running) running->ring();
}

void* TreeThread::main(void* arg) {
  auto* self = static_cast<TreeThreadState*>(arg);
  int64_t next = INT64_MAX;
  bool more = false;
  while (!self->stopping) {
    int timeout = -1;
    if (more) {
      timeout = 0;
    } else if (next != INT64_MAX) {
      int64_t ns = std::max<int64_t>(0, next - sys::now_ns());
      timeout = static_cast<int>((ns + 999'999) / 1'000'000);
    }
    epoll_event events[2];
    int n = epoll_wait(self->epoll.get(), events, 2, timeout);
    for (int i = 0; i < n; i++) {
      uint64_t count;
      if (events[i].data.fd != self->wake.get()) continue;
      if (::read(self->wake.get(), &count, sizeof count) < 0) continue;
    }
    if (self->stopping) break;
    more = Forest::events();
    int64_t now = sys::now_ns();
    next = Forest::tend(now);
    std::lock_guard busy(errand_lock);
    if (!errand_now) continue;
    errand_now->after_events();
    next = std::min(next, errand_now->tend(now));
  }
  return nullptr;
}

}  // namespace oom
