// From the sentinel to one JavaScript environment: a fixed ring of records and one wake-up.
//
// The sentinel is the only producer, the environment's thread the only consumer. Nothing here
// allocates after construction, and nothing is lost: a record that does not fit waits in its
// source, and Source::flush() sends it once the consumer has made room.
#pragma once

#include <atomic>
#include <cstddef>

#include "core/sentinel/record.h"

namespace oom {

class Source;

class Channel {
 public:
  static constexpr size_t kSize = 1024;  // records; a power of two

  // `wake` is called on the sentinel after its work, and must not allocate: uv_async_send.
  Channel(void (*wake)(void*), void* arg) : wake_(wake), arg_(arg) {}
  // By make_apart(): the sentinel writes into it, and a child of fork(2) must not share that.
  static void* operator new(size_t) = delete;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Sentinel. Room for at least `n` more?
  bool room(size_t n = 1) const {
    return kSize -
               (head_.load(std::memory_order_relaxed) - tail_.load(std::memory_order_acquire)) >=
           n;
  }
  // Sentinel. False when full.
  bool push(const Record& record) {
    if (!room()) return false;
    size_t head = head_.load(std::memory_order_relaxed);
    ring_[head % kSize] = record;
    head_.store(head + 1, std::memory_order_release);
    dirty_ = true;
    return true;
  }
  // Sentinel, at the end of a round.
  void wake_if_dirty() {
    if (!dirty_) return;
    dirty_ = false;
    if (!pending_.exchange(true)) wake_(arg_);
  }

  // Consumer. Begins a drain: whatever is pushed from now on wakes again.
  void acknowledge() { pending_.exchange(false); }
  bool pop(Record& record) {
    size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == head_.load(std::memory_order_acquire)) return false;
    record = ring_[tail % kSize];
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }
  // Sentinel: a source waits for room. True if the consumer has made room meanwhile: it did not see
  // the backlog, so the sentinel must flush by itself.
  bool wait_for_room() {
    backlog_.exchange(true);
    return room();
  }
  // Consumer, after it has made room: whether to call Sentinel::flush(), because a source waits.
  bool take_backlog() { return backlog_.exchange(false); }

 private:
  void (*wake_)(void*);
  void* arg_;
  bool dirty_ = false;
  std::atomic<bool> pending_{false};
  std::atomic<bool> backlog_{false};
  std::atomic<size_t> head_{0};
  std::atomic<size_t> tail_{0};
  Record ring_[kSize];
};

}  // namespace oom
