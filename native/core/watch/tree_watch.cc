#include "core/watch/tree_watch.h"

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "core/sys/small_file.h"

namespace oom {
namespace {

using Lock = std::lock_guard<std::mutex>;

// How many watches the sentinel takes leave of at a time: it has others to serve.
constexpr size_t kBatch = 64;
// How many base lines it reads at a time: some 4 µs each.
constexpr size_t kSettled = 16;
// A tree of so many groups waits for them in open().
constexpr size_t kSettledAtOnce = 64;

struct Base {
  OomWatch* watch;
  BaseLine base;
};

constexpr auto kDetach = [](Sentinel& sentinel, auto* source) { source->detach(sentinel); };
constexpr auto kDetachAll = [](Sentinel& sentinel, const LockedPtr<OomWatch>* first, size_t count) {
  for (size_t i = 0; i < count; i++) first[i]->detach(sentinel);
};

}  // namespace

TreeWatch::TreeWatch(Sentinel& sentinel, Channel& channel, uint32_t target, uint32_t wanted)
    : sentinel_(sentinel), channel_(channel), target_(target), wanted_(wanted) {}

Status TreeWatch::open(std::shared_ptr<const Fd> root, const Memcg& memcg) {
  kind_ = &WatchKind::of(memcg);
  Status status;
  notice_ = make_apart<NoticeSource>(status, channel_, target_);
  if (status.ok()) status = tree_.open(std::move(root));
  if (status.ok() && unsettled_.size() <= kSettledAtOnce) settle();
  Lock lock(lock_);
  return status.ok() ? failure_ : status;
}

void TreeWatch::settle() {
  for (;;) {
    // The lock for a batch only: the consumer's thread takes it too.
    Lock lock(lock_);
    if (closed_ || settled_ >= unsettled_.size()) {
      unsettled_ = {};
      return above_.clear();
    }
    Base batch[kSettled];
    size_t count = 0;
    while (count < kSettled && settled_ < unsettled_.size()) {
      auto [parent, sub] = unsettled_[settled_++];
      auto it = watches_.find(sub);
      if (it == watches_.end()) continue;
      above_.next(parent, sub);
      OomWatch& one = *it->second;
      one.place().with([&](int dir) {
        batch[count++] = {&one, one.base_line(dir, &above_)};
        return 0;
      });
    }
    sentinel_.call(
        [](Sentinel&, const Base* first, size_t n) {
          for (size_t i = 0; i < n; i++) first[i].watch->settle(first[i].base);
        },
        static_cast<const Base*>(batch), count);
  }
}

void TreeWatch::close() {
  tree_.close();
  Lock lock(lock_);
  if (closed_) return;
  closed_ = true;
  forgotten_.reserve(forgotten_.size() + watches_.size());
  for (auto& [sub, watch] : watches_) forgotten_.push_back(std::move(watch));
  watches_.clear();
  free_forgotten();
  if (notice_) sentinel_.call(kDetach, notice_.get());
}

bool TreeWatch::path_of(uint32_t sub, std::string& out) {
  Lock lock(lock_);
  auto it = watches_.find(sub);
  if (it == watches_.end()) return false;
  out = it->second->name();
  return true;
}

size_t TreeWatch::forget(uint32_t sub) {
  Lock lock(lock_);
  if (auto it = watches_.find(sub); it != watches_.end()) {
    forgotten_.push_back(std::move(it->second));
    watches_.erase(it);
  }
  if (forgotten_.size() >= kBatch) free_forgotten();
  return watches_.size();
}

void TreeWatch::tidy() {
  Lock lock(lock_);
  free_forgotten();
}

// A call of the sentinel takes longer than all else about a removal: it is made for many at a time.
void TreeWatch::free_forgotten() {
  for (size_t i = 0; i < forgotten_.size(); i += kBatch) {
    sentinel_.call(kDetachAll, static_cast<const LockedPtr<OomWatch>*>(&forgotten_[i]),
                   std::min(kBatch, forgotten_.size() - i));
  }
  forgotten_.clear();
}

// The tree's thread: before the kernel's own signal, as a rule.
void TreeWatch::vanished(uint32_t sub) {
  Lock lock(lock_);
  if (auto it = watches_.find(sub); it != watches_.end()) it->second->post_vanished(sentinel_);
}

Status TreeWatch::trouble() {
  Lock lock(lock_);
  return failure_;
}

uint32_t TreeWatch::appeared(uint32_t parent, const Place& place, int dir) {
  uint32_t sub = 0;
  Status status = watch(parent, place, dir, sub);
  if (!status.ok() && !is_gone(status.err)) failed(status);
  return sub;
}

Status TreeWatch::watch(uint32_t parent, const Place& place, int dir, uint32_t& sub) {
  Lock lock(lock_);
  if (closed_) return Status::of(-ENODEV, nullptr);
  Status status;
  auto made = kind_->make_watch({&channel_, target_, next_sub_, place, wanted_}, status);
  above_.next(parent, next_sub_);
  auto upper = watches_.find(parent);
  if (made)
    status = made->arm({.dir = dir,
                        .newborn = tree_.opened(),
                        .settles = !tree_.opened(),
                        .in_tree = parent != 0,
                        .parent = upper == watches_.end() ? nullptr : upper->second.get(),
                        .above = &above_});
  if (!status.ok()) return status;
  // Before the first record may come.
  OomWatch& source = *made;
  watches_[next_sub_] = std::move(made);
  int err = 0;
  if (source.quiet()) {
    err = source.attach(sentinel_);
  } else {
    err = sentinel_.call([](Sentinel& s, OomWatch* watch) { return watch->attach(s); }, &source);
  }
  status = Status::of(err, "epoll_ctl");
  if (status.ok()) {
    if (!tree_.opened()) unsettled_.push_back({parent, next_sub_});
    sub = next_sub_++;
  } else {
    watches_.erase(next_sub_);
  }
  return status;
}

void TreeWatch::failed(const Status& status) {
  Lock lock(lock_);
  if (closed_ || !failure_.ok()) return;
  failure_ = status;
  if (!tree_.opened()) return;  // open() returns it
  sentinel_.call(
      [](Sentinel& sentinel, NoticeSource* notice) {
        notice->report(sentinel, RecordKind::kTrouble, sys::now_ns());
      },
      notice_.get());
}

}  // namespace oom
