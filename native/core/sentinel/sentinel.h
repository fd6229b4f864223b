// The sentinel: the one thread per process that waits for every group, guard and timer.
//
// It sleeps in epoll_wait. What it runs makes only calls that return in microseconds, allocates
// nothing and takes no lock: other threads hand it work through an intrusive list, and what can
// sleep in the kernel goes to the helpers (helpers.h). Signals are blocked in it.
//
// Whatever it writes is never shared with a child of fork(2) (locked.h): itself, its sources, the
// channels. Other threads' stacks and heaps are, so it writes nothing there: a call's arguments and
// its result travel in slots of the sentinel's own.
//
// Life cycle: acquire() starts it with the first environment that needs it, release() by the last
// one stops and joins it, synchronously, in an environment cleanup hook.
#pragma once

#include <semaphore.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <tuple>
#include <type_traits>

#include "core/prepared/locked.h"
#include "core/prepared/thread.h"
#include "core/sentinel/channel.h"
#include "core/sentinel/timers.h"
#include "core/sys/fd.h"
#include "core/sys/status.h"

namespace oom {

class Sentinel;

// Something the sentinel waits for. All methods run on the sentinel, which writes into it: made by
// make_locked() or make_apart(), in a process that forks.
class Source : public TimerNode {
 public:
  virtual ~Source() = default;
  // Sources are made by make_locked() or make_apart(), not by a plain `new`.
  static void* operator new(size_t) = delete;
  // Its fd is ready.
  virtual void ready(Sentinel& sentinel, int64_t now) = 0;
  // Its timer is due (and cleared).
  virtual void due(Sentinel& sentinel, int64_t now) = 0;
  // The channel has room again.
  virtual void flush(Sentinel&) {}
  // A patient source's timers are no deadlines: they run after all others that are due.
  virtual bool patient() const { return false; }

  Channel* channel = nullptr;
  Source* backlog_next = nullptr;
  bool backlogged = false;
  // Written by the sentinel alone: it counts those that sample often, and the timer of one that
  // waits for a sweep is no deadline.
  bool samples_often = false;
  bool sweeps = false;
};

// Work for the sentinel, linked where it lies: in memory such as a Source's.
struct Command {
  Command* next = nullptr;
  void (*run)(Command&, Sentinel&) = nullptr;
};

class Sentinel {
 public:
  // Any thread that may allocate. Null with the reason when it cannot be started.
  static Sentinel* acquire(Status& status);
  static void release();
  // For a process that is nothing but a sentinel (the guardian): no thread, run() is its loop.
  static LockedPtr<Sentinel> make_inline(Status& status);
  void run() { loop(); }

  // Runs before the thread stops. Stop everything that posts commands here.
  void set_before_stop(void (*hook)()) { before_stop_ = hook; }

  // Any thread: hands over and returns at once. The command must live until it has run.
  void post(Command& command);
  // Holds a call's arguments and its result while the sentinel runs it.
  struct Slot : Command {
    static constexpr size_t kRoom = 144;
    std::atomic<uint32_t> done{0};
    alignas(std::max_align_t) unsigned char room[kRoom];
  };
  // Any other thread: runs fn(Sentinel&, arguments…) on the sentinel, waits for it (microseconds)
  // and returns its result. Arguments and result are copied. `fn` captures nothing and passes
  // everything back in its result: a child of fork(2) may share the caller's stack, so fn must not
  // write there.
  template <class F, class... Args>
  auto call(F fn, Args... args) {
    Slot& slot = take_slot();
    Release release{*this, slot};
    return call_in(slot, fn, args...);
  }
  // As call(), for a thread that must not wait for a free slot: it brings its own.
  template <class F, class... Args>
  auto call_in(Slot& slot, F, Args... args) {
    using Result = std::invoke_result_t<F, Sentinel&, Args...>;
    constexpr bool kNothing = std::is_void_v<Result>;
    struct Work {
      std::tuple<Args...> args;
      std::conditional_t<kNothing, char, Result> result{};
    };
    static_assert(std::is_empty_v<F>, "what the function needs is to be an argument");
    static_assert((std::is_trivially_copyable_v<Args> && ...));
    static_assert(kNothing || std::is_trivially_copyable_v<Result>);
    static_assert(sizeof(Work) <= Slot::kRoom && alignof(Work) <= alignof(std::max_align_t));
    auto* work = ::new (slot.room) Work{{args...}};
    slot.done.store(0, std::memory_order_relaxed);
    slot.run = [](Command& command, Sentinel& sentinel) {
      auto& self = static_cast<Slot&>(command);
      auto& todo = *std::launder(reinterpret_cast<Work*>(self.room));
      auto run = [&](Args... each) { return F{}(sentinel, each...); };
      if constexpr (kNothing) {
        std::apply(run, todo.args);
      } else {
        todo.result = std::apply(run, todo.args);
      }
      self.done.store(1, std::memory_order_release);
      wake_waiter(self.done);
    };
    post(slot);
    await(slot.done);
    if constexpr (!kNothing) return work->result;
  }

  // Any thread. The sentinel may call the source even before this has returned.
  // 0 or -errno.
  int add(int fd, Source& source, uint32_t events);
  // On the sentinel.
  void remove(int fd);
  void set_timer(Source& source, int64_t when);
  void clear_timer(Source& source);
  // Sets the timer of a source that samples repeatedly: to `when`, or later if very many sources do
  // so, but never later than `latest`. Sampling takes at most 1/4 of the thread's time, so that
  // notifications and commands get their turn.
  void set_sample_timer(Source& source, int64_t now, int64_t when, int64_t latest);
  // Sets the timer of a source that is only swept: it runs after all deadlines that are due, and of
  // those that are due together so many in a round, so that events get their turn in between.
  void set_sweep_timer(Source& source, int64_t when);
  // How many patient sources wait: the more there are, the less often each of them samples.
  int patient() const { return patient_count_; }
  // How many sources sample often (set_sample_timer()).
  int looking() const { return looking_; }
  // Sends the record. False if there is no room: the source's flush() is called when there is.
  bool send(Source& source, const Record& record);
  bool room(Source& source, size_t records);
  void wait_for_room(Source& source);
  // Drops every pointer to a source that is about to be freed.
  void forget(Source& source);
  // Any thread: the consumer of the channel has made room.
  void flush(Channel& channel);
  // How many groups are sampled even while idle; `more` is added to that number first.
  int idlers(int more = 0) { return idlers_ += more; }
  // Adds a channel to those that are woken at the end of a round.
  // False if there are kChannels already.
  bool attach(Channel& channel);
  void detach(Channel& channel);

  static constexpr int kChannels = 256;

  // Through acquire() and make_inline().
  Sentinel() = default;
  ~Sentinel();
  static void operator delete(void*) = delete;

 private:
  static constexpr int kSlots = 64;
  struct Release {
    ~Release() { sentinel.give_slot(slot); }
    Sentinel& sentinel;
    Slot& slot;
  };
  Status prepare();
  Status start();
  void stop();
  static void* main(void* self);
  void loop();
  void run_commands();
  void run_deadlines();
  void run_timers();
  TimerNode* first_timer() const;
  void arm_timerfd();
  void flush_backlog();
  static void wake_waiter(std::atomic<uint32_t>& word);
  static void await(std::atomic<uint32_t>& word);
  Slot& take_slot();
  void give_slot(Slot& slot);

  Fd epoll_, wake_, timer_;
  Timers deadlines_;
  Timers patient_;
  int patient_count_ = 0;
  int idlers_ = 0;
  // How many sources sample often, and how long one sample takes (a moving average, ns).
  int looking_ = 0;
  int64_t sample_cost_ = 0;
  int64_t armed_for_ = 0;
  std::atomic<Command*> inbox_{nullptr};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> flush_wanted_{false};
  Source* backlog_ = nullptr;
  Channel* channels_[kChannels] = {};
  int channel_count_ = 0;
  void (*before_stop_)() = nullptr;
  // The free slots of call() and their number. Only callers write these, never the sentinel.
  std::atomic<uint64_t> free_slots_{~uint64_t{0}};
  sem_t slots_left_;
  Slot slots_[kSlots];
  PreparedThread thread_;
};

}  // namespace oom
