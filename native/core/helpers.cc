#include "core/helpers.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

#include "core/guarded_group.h"
#include "core/locked.h"

namespace oom {
namespace {

struct Helper {
  PreparedThread thread;
  Sentinel* sentinel = nullptr;
  std::atomic<Command*> inbox{nullptr};
  std::atomic<uint32_t> word{0};  // futex: grows with each job
  std::atomic<uint32_t> load{0};
  std::atomic<bool> stopping{false};
  Victims victims;
};

Helper* helpers[Helpers::kThreads];
pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;

void wake(Helper& helper) {
  helper.word.fetch_add(1, std::memory_order_release);
  syscall(SYS_futex, &helper.word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, nullptr, nullptr, 0);
}

void answer(Command& command, Sentinel& sentinel) {
  auto& job = static_cast<Job&>(command);
  job.group->job_done(sentinel, job);
}

void run(Helper& helper, Job& job) {
  helper.victims.begin();
  job.group->run_job(job, helper.victims);
  job.pids = helper.victims.pids();
  job.pid_count = helper.victims.pid_count();
  // The answer first: a large victim may take long to be reaped.
  job.run = [](Command& command, Sentinel& sentinel) { answer(command, sentinel); };
  helper.sentinel->post(job);
  helper.victims.reap();
  // The pids lie here: they must not change before the sentinel has taken them.
  helper.sentinel->call([](Sentinel&) {});
}

void* main(void* arg) {
  auto& helper = *static_cast<Helper*>(arg);
  for (;;) {
    uint32_t seen = helper.word.load(std::memory_order_acquire);
    Command* list = helper.inbox.exchange(nullptr, std::memory_order_acquire);
    if (!list) {
      if (helper.stopping.load()) return nullptr;
      syscall(SYS_futex, &helper.word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, seen, nullptr, nullptr, 0);
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

}  // namespace

Status Helpers::start(Sentinel& sentinel) {
  Status status;
  pthread_mutex_lock(&start_lock);
  for (auto& helper : helpers) {
    if (helper) continue;
    auto made = make_locked<Helper>(status);
    if (!made) break;
    made->sentinel = &sentinel;
    status = made->thread.start("oom-helper", main, made.get());
    if (!status.ok()) break;
    helper = made.release();
  }
  sentinel.set_before_stop(&Helpers::stop);
  pthread_mutex_unlock(&start_lock);
  return status;
}

void Helpers::stop() {
  pthread_mutex_lock(&start_lock);
  for (auto& helper : helpers) {
    if (!helper) continue;
    helper->stopping.store(true);
    wake(*helper);
    helper->thread.join();
    LockedDelete<Helper>()(helper);
    helper = nullptr;
  }
  pthread_mutex_unlock(&start_lock);
}

void Helpers::hand(Job& job) {
  Helper* least = helpers[0];
  for (Helper* helper : helpers) {
    if (helper->load.load() < least->load.load()) least = helper;
  }
  job.busy.store(true);
  least->load.fetch_add(1);
  Command* head = least->inbox.load(std::memory_order_relaxed);
  do {
    job.next = head;
  } while (!least->inbox.compare_exchange_weak(head, &job, std::memory_order_release,
                                               std::memory_order_relaxed));
  wake(*least);
}

}  // namespace oom
