#include "core/sentinel/helpers.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <mutex>

#include "core/prepared/locked.h"
#include "core/prepared/spare_fds.h"
#include "core/sys/pidfd.h"

namespace oom {
namespace {

constexpr int kUrgent = 2;
constexpr int kSlow = 2;
constexpr int kHelpers = kUrgent + kSlow;

// Sleeps until ring() is called; a ring() between listen() and wait() is not lost.
class Doorbell {
 public:
  uint32_t listen() const { return word_.load(std::memory_order_acquire); }
  void ring() {
    word_.fetch_add(1, std::memory_order_release);
    syscall(SYS_futex, &word_, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, nullptr, nullptr, 0);
  }
  void wait(uint32_t heard) {
    syscall(SYS_futex, &word_, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, heard, nullptr, nullptr, 0);
  }

 private:
  std::atomic<uint32_t> word_{0};
};

// Takes pidfds of the killed, frees their memory and closes them.
struct Reaper {
  static constexpr int kRoom = 256;
  PreparedThread thread;
  Doorbell bell;
  std::atomic<bool> stopping{false};
  std::atomic<int> next{0};
  std::atomic<int> fds[kRoom];

  Reaper() {
    for (auto& fd : fds) fd.store(-1);
  }
  void push(int fd) {
    for (int tries = 0; tries < kRoom; tries++) {
      int none = -1;
      auto slot = static_cast<unsigned>(next.fetch_add(1)) % kRoom;
      if (fds[slot].compare_exchange_strong(none, fd)) return bell.ring();
    }
    // The table is full: the kernel frees the memory without help, only later.
    close(fd);
  }
  static void* main(void* arg) {
    auto& self = *static_cast<Reaper*>(arg);
    for (;;) {
      uint32_t heard = self.bell.listen();
      bool stop = self.stopping.load();
      for (auto& slot : self.fds) {
        int fd = slot.exchange(-1);
        if (fd < 0) continue;
        if (!stop) pidfd::mrelease(fd);
        close(fd);
      }
      if (stop) return nullptr;
      self.bell.wait(heard);
    }
  }
};

struct Helper {
  PreparedThread thread;
  Sentinel* sentinel = nullptr;
  Doorbell bell;
  std::atomic<Command*> inbox{nullptr};
  std::atomic<uint32_t> load{0};
  std::atomic<bool> stopping{false};
  std::atomic<bool> ready{false};
  Victims victims;
  // The helper's own slot: the sentinel's shared ones may all be taken.
  Sentinel::Slot slot;
  Alarm alarm;
};

Helper* helpers[kHelpers];
Reaper* reaper;
std::mutex start_lock;

void answer(Command& command, Sentinel& sentinel) {
  auto& job = static_cast<Job&>(command);
  job.done(job, sentinel);
}

void run(Helper& helper, Job& job) {
  helper.victims.begin();
  job.work(job, helper.victims, helper.alarm);
  job.pids = helper.victims.pids();
  job.pid_count = helper.victims.pid_count();
  job.run = &answer;
  // From here on the job belongs to the sentinel.
  helper.sentinel->post(job);
  helper.victims.hand_over(&Helpers::free_later);
  SpareFds::refill();
  // The pids lie in this helper: wait until the sentinel has run done() before reusing them.
  helper.sentinel->call_in(helper.slot, [](Sentinel&) {});
}

void* main(void* arg) {
  auto& helper = *static_cast<Helper*>(arg);
  // If there is no timer left (RLIMIT_SIGPENDING), the writes that it would interrupt last longer.
  (void)helper.alarm.open();
  helper.ready.store(true);
  for (;;) {
    uint32_t heard = helper.bell.listen();
    Command* list = helper.inbox.exchange(nullptr, std::memory_order_acquire);
    if (!list) {
      if (helper.stopping.load()) return nullptr;
      helper.bell.wait(heard);
      continue;
    }
    Command* ordered = nullptr;
    while (list) {
      Command* next = list->next;
      list->next = ordered;
      ordered = list;
      list = next;
    }
    while (ordered) {
      Command* next = ordered->next;
      run(helper, static_cast<Job&>(*ordered));
      helper.load.fetch_sub(1);
      ordered = next;
    }
  }
}

template <class T>
Status start_one(T*& slot, const char* name, void* (*run)(void*), Sentinel* sentinel) {
  if (slot) return Status::success();
  Status status;
  auto made = make_locked<T>(status);
  if (!made) return status;
  if constexpr (requires { made->sentinel; }) made->sentinel = sentinel;
  status = made->thread.start(name, run, made.get());
  if (!status.ok()) return status;
  if constexpr (requires { made->ready; }) {
    while (!made->ready.load()) sched_yield();
  }
  slot = made.release();
  return status;
}

template <class T>
void stop_one(T*& slot) {
  if (!slot) return;
  slot->stopping.store(true);
  slot->bell.ring();
  slot->thread.join();
  LockedDelete<T>()(slot);
  slot = nullptr;
}

}  // namespace

Status Helpers::start(Sentinel& sentinel) {
  start_lock.lock();
  Status status = start_one(reaper, "oom-freer", &Reaper::main, nullptr);
  for (auto& helper : helpers) {
    if (status.ok()) status = start_one(helper, "oom-helper", &main, &sentinel);
  }
  start_lock.unlock();
  return status;
}

void Helpers::stop() {
  start_lock.lock();
  for (auto& helper : helpers) stop_one(helper);
  stop_one(reaper);
  start_lock.unlock();
}

void Helpers::free_later(int pidfd) { reaper->push(pidfd); }

void Helpers::hand(Job& job) {
  Helper* least = nullptr;
  for (int i = job.slow ? kUrgent : 0; i < (job.slow ? kHelpers : kUrgent); i++) {
    if (!least || helpers[i]->load.load() < least->load.load()) least = helpers[i];
  }
  job.busy.store(true);
  least->load.fetch_add(1);
  Command* head = least->inbox.load(std::memory_order_relaxed);
  do {
    job.next = head;
  } while (!least->inbox.compare_exchange_weak(head, &job, std::memory_order_release,
                                               std::memory_order_relaxed));
  least->bell.ring();
}

}  // namespace oom
