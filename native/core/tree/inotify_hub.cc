#include "core/tree/inotify_hub.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/sys/fd.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

struct Subscription {
  InotifyHub::Subscriber* who;
  uint32_t tag;
  uint32_t mask;
};

struct Hub {
  Fd fd;  // while something is watched
  std::unordered_map<int, std::vector<Subscription>> watches;
  std::unordered_map<InotifyHub::Subscriber*, size_t> subscribers;
  InotifyHub::Reader* reader = nullptr;
  int64_t next_try = 0;
  int refused = 0;  // why there is none before
};

std::mutex hub_lock;
// Never freed: threads outlive exit handlers.
Hub* hub = nullptr;

Hub& the_hub() {
  if (!hub) hub = new Hub();
  return *hub;
}

bool is_shortage(int err) {
  return err == -EMFILE || err == -ENFILE || err == -ENOSPC || err == -ENOMEM;
}

int refuse(Hub& h, int err) {
  if (!is_shortage(err)) return err;
  h.refused = err;
  h.next_try = sys::now_ns() + InotifyHub::kRetryNs;
  return err;
}

int open_instance(Hub& h) {
  if (h.fd) return 0;
  h.fd.reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!h.fd) return -errno;
  int err = h.reader ? h.reader->listen(h.fd.get()) : 0;
  if (err != 0) h.fd.reset();
  return err;
}

void close_if_idle(Hub& h) {
  if (!h.fd || !h.watches.empty()) return;
  if (h.reader) h.reader->leave(h.fd.get());
  h.fd.reset();
}

void drop_subscriber(Hub& h, InotifyHub::Subscriber* who) {
  auto it = h.subscribers.find(who);
  if (it != h.subscribers.end() && --it->second == 0) h.subscribers.erase(it);
}

void notify(Hub& h, const inotify_event& event) {
  if (event.mask & IN_Q_OVERFLOW) {
    for (auto& [who, count] : h.subscribers) who->overflowed();
    return;
  }
  auto it = h.watches.find(event.wd);
  if (it == h.watches.end()) return;  // from before it was given up
  const char* name = event.len > 0 ? event.name : "";
  constexpr uint32_t kAlways = IN_IGNORED | IN_UNMOUNT;
  for (const Subscription& one : it->second) {
    if (event.mask & (one.mask | kAlways)) one.who->notified(one.tag, event.mask, name);
  }
  if (!(event.mask & IN_IGNORED)) return;
  for (const Subscription& one : it->second) drop_subscriber(h, one.who);
  h.watches.erase(it);
  close_if_idle(h);
}

}  // namespace

int InotifyHub::set_reader(Reader* reader) {
  std::lock_guard held(hub_lock);
  Hub& h = the_hub();
  if (h.fd && h.reader) h.reader->leave(h.fd.get());
  h.reader = reader;
  return h.fd && reader ? reader->listen(h.fd.get()) : 0;
}

int InotifyHub::watch(int dir, const char* below, uint32_t mask, Subscriber& who, uint32_t tag) {
  char path[96];
  snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dir, below);
  std::lock_guard held(hub_lock);
  Hub& h = the_hub();
  if (h.refused != 0) {
    if (sys::now_ns() < h.next_try) return h.refused;
    h.refused = 0;
  }
  if (int err = open_instance(h)) return refuse(h, err);
  int number = inotify_add_watch(h.fd.get(), path, mask | IN_MASK_ADD);
  if (number < 0) {
    int err = refuse(h, -errno);
    close_if_idle(h);
    return err;
  }
  h.watches[number].push_back({&who, tag, mask});
  h.subscribers[&who]++;
  return number;
}

void InotifyHub::unwatch(int number, Subscriber& who, uint32_t tag) {
  std::lock_guard held(hub_lock);
  Hub& h = the_hub();
  auto it = h.watches.find(number);
  if (it == h.watches.end()) return;
  auto& list = it->second;
  auto one = std::find_if(list.begin(), list.end(),
                          [&](const Subscription& s) { return s.who == &who && s.tag == tag; });
  if (one == list.end()) return;
  list.erase(one);
  drop_subscriber(h, &who);
  if (!list.empty()) return;
  h.watches.erase(it);
  // The kernel keeps the watch, and the inode, until inotify_rm_watch(2).
  inotify_rm_watch(h.fd.get(), number);
  close_if_idle(h);
}

bool InotifyHub::may_try() {
  std::lock_guard held(hub_lock);
  Hub& h = the_hub();
  return h.refused == 0 || sys::now_ns() >= h.next_try;
}

bool InotifyHub::read() {
  alignas(inotify_event) char buffer[16 * 1024];
  std::lock_guard held(hub_lock);
  Hub& h = the_hub();
  if (!h.fd) return false;
  ssize_t n = ::read(h.fd.get(), buffer, sizeof buffer);
  for (char* at = buffer; at < buffer + n;) {
    auto* event = reinterpret_cast<inotify_event*>(at);
    at += sizeof(inotify_event) + event->len;
    notify(h, *event);
  }
  return n > 0;
}

int InotifyHub::probe() {
  std::lock_guard held(hub_lock);
  Hub& h = the_hub();
  Fd own;
  int fd = h.fd.get();
  if (fd < 0) {
    own.reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!own) return -errno;
    fd = own.get();
  }
  // A directory that no subscriber watches.
  int number = inotify_add_watch(fd, "/proc/self", IN_DELETE_SELF | IN_ONLYDIR);
  if (number < 0) return -errno;
  inotify_rm_watch(fd, number);
  return 0;
}

}  // namespace oom
