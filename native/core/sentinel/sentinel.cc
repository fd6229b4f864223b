#include "core/sentinel/sentinel.h"

#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <mutex>
#include <utility>

#include "core/sys/small_file.h"

namespace oom {
namespace {

// Guards the one instance; taken only while starting and stopping, never by the sentinel.
std::mutex instance_lock;
Sentinel* instance = nullptr;
int users = 0;

// A source that samples again within this time counts as one that samples often.
constexpr int64_t kOften = 100'000'000;
// All such samples together get one part in kShare of the thread's time.
constexpr int64_t kShare = 4;
// A sample that took longer was preempted, so its duration does not predict the next one's.
constexpr int64_t kCostMost = 5'000'000;

}  // namespace

Sentinel* Sentinel::acquire(Status& status) {
  instance_lock.lock();
  if (!instance) {
    LockedPtr<Sentinel> made = make_inline(status);
    if (made) status = made->thread_.start("oom-sentinel", &Sentinel::main, made.get());
    if (!status.ok()) {
      instance_lock.unlock();
      return nullptr;
    }
    instance = made.release();
  }
  users++;
  Sentinel* result = instance;
  instance_lock.unlock();
  return result;
}

void Sentinel::release() {
  instance_lock.lock();
  if (--users == 0) {
    if (instance->before_stop_) instance->before_stop_();
    instance->stop();
    LockedDelete<Sentinel>()(std::exchange(instance, nullptr));
  }
  instance_lock.unlock();
}

LockedPtr<Sentinel> Sentinel::make_inline(Status& status) {
  auto made = make_locked<Sentinel>(status);
  if (made) status = made->prepare();
  if (!status.ok()) made.reset();
  return made;
}

Sentinel::~Sentinel() { sem_destroy(&slots_left_); }

Status Sentinel::prepare() {
  sem_init(&slots_left_, 0, kSlots);
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return Status::last("epoll_create1");
  wake_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_) return Status::last("eventfd");
  timer_.reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer_) return Status::last("timerfd_create");
  for (int fd : {wake_.get(), timer_.get()}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = fd == wake_.get() ? static_cast<void*>(&wake_) : static_cast<void*>(&timer_);
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return Status::last("epoll_ctl");
  }
  return Status::success();
}

void Sentinel::stop() {
  stopping_.store(true);
  uint64_t one = 1;
  if (::write(wake_.get(), &one, sizeof one) < 0) {
    // Only EAGAIN, at 2^64 - 2: then it is awake already.
  }
  thread_.join();
}

void* Sentinel::main(void* self) {
  static_cast<Sentinel*>(self)->loop();
  return nullptr;
}

void Sentinel::loop() {
  constexpr int kBatch = 64;
  epoll_event events[kBatch];
  while (!stopping_.load(std::memory_order_acquire)) {
    arm_timerfd();
    // If a consumer made room just as a source found none, flush at once instead of sleeping.
    int timeout = flush_wanted_.load(std::memory_order_acquire) ? 0 : -1;
    int n = epoll_wait(epoll_.get(), events, kBatch, timeout);
    int64_t now = sys::now_ns();
    for (int i = 0; i < n; i++) {
      // Deadlines run before each event: a burst of events must not delay them.
      run_deadlines();
      void* what = events[i].data.ptr;
      if (what == &wake_ || what == &timer_) {
        uint64_t count;
        int fd = static_cast<Fd*>(what)->get();
        if (::read(fd, &count, sizeof count) < 0) continue;
        if (what == &timer_) armed_for_ = 0;
        continue;
      }
      static_cast<Source*>(what)->ready(*this, now);
    }
    run_timers();
    if (flush_wanted_.exchange(false)) flush_backlog();
    for (int i = 0; i < channel_count_; i++) channels_[i]->wake_if_dirty();
    // Commands run last: one may remove a source that this batch of epoll events still points to.
    run_commands();
    for (int i = 0; i < channel_count_; i++) channels_[i]->wake_if_dirty();
  }
  run_commands();
}

void Sentinel::set_timer(Source& source, int64_t when) {
  if (source.sweeps) clear_timer(source);
  if (!source.patient()) return deadlines_.set(source, when);
  if (!source.set()) patient_count_++;
  patient_.set(source, when);
}

void Sentinel::set_sample_timer(Source& source, int64_t now, int64_t when, int64_t latest) {
  bool often = when < now + kOften;
  looking_ += often - source.samples_often;
  source.samples_often = often;
  int64_t pace = often ? (looking_ - 1) * sample_cost_ * kShare : 0;
  set_timer(source, std::min(latest, std::max(when, now + pace)));
}

void Sentinel::set_sweep_timer(Source& source, int64_t when) {
  if (!source.sweeps) clear_timer(source);
  source.sweeps = true;
  patient_.set(source, when);
}

void Sentinel::clear_timer(Source& source) {
  looking_ -= source.samples_often;
  source.samples_often = false;
  if (std::exchange(source.sweeps, false)) return patient_.clear(source);
  if (!source.patient()) return deadlines_.clear(source);
  if (source.set()) patient_count_--;
  patient_.clear(source);
}

void Sentinel::run_deadlines() {
  // Run only timers that were due on entry; otherwise a steady supply of due timers starves epoll
  // events.
  int64_t now = sys::now_ns();
  const int64_t until = now;
  for (TimerNode* first; (first = deadlines_.first()) && first->when() <= until;) {
    deadlines_.clear(*first);
    auto& source = *static_cast<Source*>(first);
    bool samples = source.samples_often;
    // due() may delete the source.
    source.due(*this, now);
    int64_t after = sys::now_ns();
    if (samples) sample_cost_ += (std::min(after - now, kCostMost) - sample_cost_) / 8;
    now = after;
  }
}

void Sentinel::run_timers() {
  // At most 64 of these timers run in a round, so that events need not wait for all of them.
  for (int i = 0; i < 64; i++) {
    run_deadlines();
    TimerNode* first = patient_.first();
    int64_t now = sys::now_ns();
    if (!first || first->when() > now) return;
    auto& source = *static_cast<Source*>(first);
    clear_timer(source);
    source.due(*this, now);
  }
}

TimerNode* Sentinel::first_timer() const {
  TimerNode* a = deadlines_.first();
  TimerNode* b = patient_.first();
  return a && b ? (b->when() < a->when() ? b : a) : (a ? a : b);
}

void Sentinel::arm_timerfd() {
  TimerNode* first = first_timer();
  // A time in the past fires at once; all zero would disarm.
  int64_t when = first ? std::max<int64_t>(first->when(), 1) : 0;
  if (when == armed_for_) return;
  armed_for_ = when;
  itimerspec spec{};
  spec.it_value.tv_sec = when / 1'000'000'000;
  spec.it_value.tv_nsec = when % 1'000'000'000;
  timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

void Sentinel::post(Command& command) {
  Command* head = inbox_.load(std::memory_order_relaxed);
  do {
    command.next = head;
  } while (!inbox_.compare_exchange_weak(head, &command, std::memory_order_release,
                                         std::memory_order_relaxed));
  // The list was not empty: the thread that posted the first command has woken the sentinel.
  if (head) return;
  uint64_t one = 1;
  if (::write(wake_.get(), &one, sizeof one) < 0) {
    // EAGAIN only: it is awake.
  }
}

void Sentinel::run_commands() {
  Command* list = inbox_.exchange(nullptr, std::memory_order_acquire);
  Command* ordered = nullptr;
  while (list) {
    Command* next = list->next;
    list->next = ordered;
    ordered = list;
    list = next;
  }
  while (ordered) {
    // run() may free the command.
    Command* next = ordered->next;
    ordered->run(*ordered, *this);
    ordered = next;
  }
}

void Sentinel::wake_waiter(std::atomic<uint32_t>& word) {
  // The waiter may be gone as soon as it sees the word: only its address is used from here on.
  syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, nullptr, nullptr, 0);
}

void Sentinel::await(std::atomic<uint32_t>& word) {
  while (word.load(std::memory_order_acquire) == 0) {
    syscall(SYS_futex, &word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, nullptr, nullptr, 0);
  }
}

Sentinel::Slot& Sentinel::take_slot() {
  while (sem_wait(&slots_left_) != 0) {
    // EINTR only.
  }
  for (;;) {
    uint64_t all = free_slots_.load();
    int first = std::countr_zero(all);
    if (all != 0 && free_slots_.compare_exchange_weak(all, all & (all - 1))) return slots_[first];
  }
}

void Sentinel::give_slot(Slot& slot) {
  free_slots_.fetch_or(uint64_t{1} << (&slot - slots_));
  sem_post(&slots_left_);
}

int Sentinel::add(int fd, Source& source, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &source;
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

void Sentinel::remove(int fd) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

bool Sentinel::room(Source& source, size_t records) {
  if (source.channel->room(records)) return true;
  wait_for_room(source);
  return false;
}

bool Sentinel::send(Source& source, const Record& record) {
  if (source.channel->push(record)) return true;
  wait_for_room(source);
  return false;
}

void Sentinel::wait_for_room(Source& source) {
  if (!source.backlogged) {
    source.backlogged = true;
    source.backlog_next = backlog_;
    backlog_ = &source;
  }
  if (source.channel->wait_for_room()) flush_wanted_.store(true);
}

void Sentinel::flush_backlog() {
  Source* list = backlog_;
  backlog_ = nullptr;
  while (list) {
    Source* source = list;
    list = source->backlog_next;
    source->backlogged = false;
    source->flush(*this);
  }
}

void Sentinel::flush(Channel& channel) {
  if (!channel.take_backlog()) return;
  flush_wanted_.store(true);
  uint64_t one = 1;
  if (::write(wake_.get(), &one, sizeof one) < 0) {
    // EAGAIN only: it is awake.
  }
}

void Sentinel::forget(Source& source) {
  clear_timer(source);
  // With thousands of removals that wait, the way through the list is long.
  if (!std::exchange(source.backlogged, false)) return;
  Source** link = &backlog_;
  while (*link && *link != &source) link = &(*link)->backlog_next;
  if (*link) *link = source.backlog_next;
}

bool Sentinel::attach(Channel& channel) {
  if (channel_count_ == kChannels) return false;
  channels_[channel_count_++] = &channel;
  return true;
}

void Sentinel::detach(Channel& channel) {
  for (int i = 0; i < channel_count_; i++) {
    if (channels_[i] == &channel) channels_[i] = channels_[--channel_count_];
  }
}

}  // namespace oom
