// The sentinel: commands from many threads, timers, fds, backlog, starting and stopping.
#include "core/sentinel/sentinel.h"

#include <dirent.h>
#include <doctest/doctest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "core/sys/fd.h"
#include "core/sys/small_file.h"
#include "core/watch/last_look.h"
#include "core/watch/subscriptions.h"
#include "on_sentinel.h"

using namespace oom;

namespace {

// The names of this process's threads that are the sentinel's.
int sentinels() {
  int count = 0;
  DIR* tasks = opendir("/proc/self/task");
  while (dirent* entry = readdir(tasks)) {
    char path[300];
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
    if (FILE* file = fopen(path, "r")) {
      char name[32] = "";
      if (fgets(name, sizeof name, file)) count += strcmp(name, "oom-sentinel\n") == 0;
      fclose(file);
    }
  }
  closedir(tasks);
  return count;
}

void until(const std::atomic<int>& value, int wanted) {
  while (value.load() < wanted) std::this_thread::yield();
}

struct Running {
  Status status;
  Sentinel* sentinel = Sentinel::acquire(status);
  ~Running() { Sentinel::release(); }
};

struct TimerSource final : Source {
  explicit TimerSource(bool patient = false) : patient_(patient) {}
  void ready(Sentinel&, int64_t) override {}
  void due(Sentinel&, int64_t now) override {
    CHECK(now >= when());
    if (order) order->push_back(when());
    fired++;
  }
  bool patient() const override { return patient_; }
  std::atomic<int> fired{0};
  std::vector<int64_t>* order = nullptr;
  bool patient_;
};

}  // namespace

TEST_CASE("one thread, from the first user to the last") {
  CHECK(sentinels() == 0);
  for (int round = 0; round < 20; round++) {
    Status status;
    Sentinel* first = Sentinel::acquire(status);
    REQUIRE(first != nullptr);
    CHECK(Sentinel::acquire(status) == first);
    CHECK(sentinels() == 1);
    Sentinel::release();
    int seen = 0;
    on_sentinel(*first, [&](Sentinel&) { seen = 1; });
    CHECK(seen == 1);
    Sentinel::release();
    CHECK(sentinels() == 0);
  }
}

TEST_CASE("commands from many threads: each once, each thread's in order") {
  Running running;
  constexpr int kThreads = 8;
  constexpr int kCalls = 2000;
  int last[kThreads] = {};
  int total = 0;
  bool in_order = true;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&, t] {
      for (int i = 1; i <= kCalls; i++) {
        on_sentinel(*running.sentinel, [&](Sentinel&) {
          in_order &= last[t] == i - 1;
          last[t] = i;
          total++;
        });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(in_order);
  CHECK(total == kThreads * kCalls);
}

TEST_CASE("posted commands run, also those that come with the stop") {
  struct Count : Command {
    std::atomic<int>* ran;
  };
  std::atomic<int> ran{0};
  constexpr int kMany = 100;
  std::vector<Count> commands(kMany);
  {
    Running running;
    for (auto& command : commands) {
      command.ran = &ran;
      command.run = [](Command& self, Sentinel&) { ++*static_cast<Count&>(self).ran; };
      running.sentinel->post(command);
    }
  }
  CHECK(ran == kMany);
}

TEST_CASE("timers: in order, none early, moved and cleared ones not") {
  Running running;
  constexpr int kMany = 500;
  std::vector<TimerSource> sources(kMany);
  std::vector<int64_t> order;
  TimerSource cleared, last;
  on_sentinel(*running.sentinel, [&](Sentinel& sentinel) {
    int64_t now = sys::now_ns();
    for (int i = 0; i < kMany; i++) {
      sources[i].order = &order;
      sentinel.set_timer(sources[i], now + (i * 7919 % kMany) * 10'000);
    }
    sentinel.set_timer(sources[3], now + 1'000'000);
    sentinel.set_timer(cleared, now + 2'000'000);
    sentinel.clear_timer(cleared);
    sentinel.set_timer(last, now + kMany * 10'000 + 1);
  });
  until(last.fired, 1);
  running.sentinel->call([](Sentinel&) {});
  CHECK(order.size() == kMany);
  CHECK(std::is_sorted(order.begin(), order.end()));
  CHECK(cleared.fired == 0);
  CHECK_FALSE(last.set());
}

TEST_CASE("a time in the past, and the oldest of all, fire at once") {
  Running running;
  TimerSource past, oldest;
  on_sentinel(*running.sentinel, [&](Sentinel& sentinel) {
    sentinel.set_timer(past, sys::now_ns() - 1'000'000);
    sentinel.set_timer(oldest, 0);
  });
  until(past.fired, 1);
  until(oldest.fired, 1);
}

TEST_CASE("deadlines are not behind those that can wait") {
  Running running;
  // Patient ones come again and again without end; the deadline and commands get through.
  struct Endless final : Source {
    void ready(Sentinel&, int64_t) override {}
    void due(Sentinel& sentinel, int64_t now) override {
      rounds++;
      if (!stop) sentinel.set_timer(*this, now);
    }
    bool patient() const override { return true; }
    std::atomic<int> rounds{0};
    bool stop = false;
  };
  std::vector<Endless> endless(10);
  on_sentinel(*running.sentinel, [&](Sentinel& sentinel) {
    for (auto& source : endless) sentinel.set_timer(source, 1);
    CHECK(sentinel.patient() == 10);
  });
  until(endless[0].rounds, 1000);
  TimerSource deadline;
  on_sentinel(*running.sentinel,
              [&](Sentinel& sentinel) { sentinel.set_timer(deadline, sys::now_ns() + 1'000'000); });
  until(deadline.fired, 1);
  on_sentinel(*running.sentinel, [&](Sentinel& sentinel) {
    for (auto& source : endless) {
      source.stop = true;
      sentinel.clear_timer(source);
    }
    CHECK(sentinel.patient() == 0);
  });
}

TEST_CASE("a sweep leaves deadlines and events their turn") {
  Running running;
  struct Swept final : Source {
    void ready(Sentinel&, int64_t) override {}
    void due(Sentinel& sentinel, int64_t now) override {
      if (at == 0) sentinel.set_timer(*deadline, now);
      if (at == 0) eventfd_write(*event, 1);
      (*seen)[at] = {deadline->fired.load() == 1, *rung};
    }
    TimerSource* deadline = nullptr;
    int* event = nullptr;
    const bool* rung = nullptr;
    std::vector<std::pair<bool, bool>>* seen = nullptr;
    size_t at = 0;
  };
  struct Bell final : Source {
    void ready(Sentinel& sentinel, int64_t) override {
      rung = true;
      sentinel.remove(fd);
    }
    void due(Sentinel&, int64_t) override {}
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool rung = false;
  } bell;
  TimerSource deadline;
  std::vector<std::pair<bool, bool>> seen(300);
  std::vector<Swept> swept(300);
  REQUIRE(running.sentinel->add(bell.fd, bell, EPOLLIN) == 0);
  on_sentinel(*running.sentinel, [&](Sentinel& sentinel) {
    for (size_t i = 0; i < swept.size(); i++) {
      swept[i].deadline = &deadline;
      swept[i].event = &bell.fd;
      swept[i].rung = &bell.rung;
      swept[i].seen = &seen;
      swept[i].at = i;
      // From where it waits for something else, and there again.
      sentinel.set_sample_timer(swept[i], 0, 1, 1);
      sentinel.set_sweep_timer(swept[i], kNever - 1);
      sentinel.set_timer(swept[i], kNever - 1);
      CHECK_FALSE(swept[i].sweeps);
      sentinel.set_sweep_timer(swept[i], kNever - 1);
      CHECK(swept[i].when() == kNever - 1);
    }
    CHECK(sentinel.looking() == 0);
    CHECK(sentinel.patient() == 0);
    for (auto& source : swept) sentinel.set_sweep_timer(source, source.at + 1);
  });
  // Commands have their turn between two pieces as well.
  for (bool done = false; !done;) {
    on_sentinel(*running.sentinel, [&](Sentinel&) { done = !swept.back().set(); });
  }
  CHECK_FALSE(seen[0].first);
  CHECK(seen[1].first);
  CHECK_FALSE(seen[63].second);
  CHECK(seen[64].second);
  CHECK(seen[299].second);
  ::close(bell.fd);
}

TEST_CASE("samples that take longer than their interval leave room for all else") {
  Running running;
  struct Looker final : Source {
    void ready(Sentinel&, int64_t) override {}
    void due(Sentinel& sentinel, int64_t now) override {
      int64_t until = sys::now_ns() + 1'000'000;
      while (sys::now_ns() < until) {
      }
      looks++;
      if (stop) return sentinel.clear_timer(*this);
      // If no other source were sampled, this time would be in the past already.
      sentinel.set_sample_timer(*this, now, now, std::numeric_limits<int64_t>::max());
    }
    std::atomic<int> looks{0};
    bool stop = false;
  };
  std::vector<Looker> lookers(20);
  on_sentinel(*running.sentinel, [&](Sentinel& sentinel) {
    for (auto& looker : lookers) sentinel.set_sample_timer(looker, 1, 1, 1);
  });
  // Each has its turn, and so have commands.
  for (auto& looker : lookers) until(looker.looks, 5);
  on_sentinel(*running.sentinel, [&](Sentinel& sentinel) {
    TimerSource one;
    const int64_t now = sys::now_ns();
    sentinel.set_sample_timer(one, now, now + 1'000'000, now + 3'600'000'000'000);
    CHECK(one.when() > now + 20'000'000);
    // Not where it is a deadline, nor where it does not come soon again.
    sentinel.set_sample_timer(one, now, now + 1'000'000, now + 2'000'000);
    CHECK(one.when() == now + 2'000'000);
    sentinel.set_sample_timer(one, now, now + 3'600'000'000'000,
                              std::numeric_limits<int64_t>::max());
    CHECK(one.when() == now + 3'600'000'000'000);
    sentinel.clear_timer(one);
    for (auto& looker : lookers) {
      looker.stop = true;
      sentinel.clear_timer(looker);
    }
    // A source that is alone is sampled as often as it asks.
    sentinel.set_sample_timer(one, now, now + 1'000'000, std::numeric_limits<int64_t>::max());
    CHECK(one.when() == now + 1'000'000);
    sentinel.clear_timer(one);
  });
}

TEST_CASE("before a group is removed its watches sample it once more, and no other watch does") {
  struct Watching final : LastLook {
    Watching(uint64_t inode, Sentinel* sentinel) : LastLook(inode) { listen(sentinel); }
    void stop() { listen(nullptr); }
    void last_look(Sentinel&, int64_t now) override {
      CHECK(now <= sys::now_ns());
      looks++;
    }
    int looks = 0;
  };
  Running running;
  Watching one(7, running.sentinel), same(7, running.sentinel), other(8, running.sentinel);
  // In the same list, and not yet listening.
  Watching far(7 + 1024, running.sentinel), early(7, nullptr);
  { Watching gone(7, running.sentinel); }
  LastLook::look_once_more(7);
  CHECK(one.looks == 1);
  CHECK(same.looks == 1);
  CHECK(other.looks + far.looks + early.looks == 0);
  same.stop();
  LastLook::look_once_more(7);
  LastLook::look_once_more(9);
  CHECK(one.looks == 2);
  CHECK(same.looks == 1);
}

TEST_CASE("fds: their source is notified while they are registered, not afterwards") {
  struct Reader final : Source {
    void ready(Sentinel&, int64_t now) override {
      uint64_t count;
      if (::read(fd.get(), &count, sizeof count) < 0) return;
      seen += static_cast<int>(count);
      CHECK(now <= sys::now_ns());
    }
    void due(Sentinel&, int64_t) override {}
    Fd fd{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    std::atomic<int> seen{0};
  };
  Running running;
  std::vector<Reader> readers(200);
  uint64_t one = 1;
  for (auto& reader : readers) {
    CHECK(running.sentinel->add(reader.fd.get(), reader, EPOLLIN) == 0);
    CHECK(running.sentinel->add(reader.fd.get(), reader, EPOLLIN) == -EEXIST);
    for (int i = 0; i < 3; i++) CHECK(::write(reader.fd.get(), &one, sizeof one) == sizeof one);
  }
  for (auto& reader : readers) until(reader.seen, 3);
  on_sentinel(*running.sentinel, [&](Sentinel& sentinel) {
    for (auto& reader : readers) sentinel.remove(reader.fd.get());
  });
  for (auto& reader : readers) CHECK(::write(reader.fd.get(), &one, sizeof one) == sizeof one);
  running.sentinel->call([](Sentinel&) {});
  for (auto& reader : readers) CHECK(reader.seen == 3);
}

TEST_CASE("a full channel: sources keep what they have until there is room") {
  Running running;
  struct Consumer {
    Fd fd{eventfd(0, EFD_CLOEXEC)};
  } consumer;
  auto channel = apart<Channel>(
      [](void* arg) {
        uint64_t one = 1;
        CHECK(::write(static_cast<Consumer*>(arg)->fd.get(), &one, sizeof one) == sizeof one);
      },
      &consumer);
  on_sentinel(*running.sentinel, [&](Sentinel& sentinel) { CHECK(sentinel.attach(*channel)); });
  constexpr int kSources = 50;
  constexpr int kTold = 2000;
  std::vector<LockedPtr<NoticeSource>> sources;
  for (uint32_t i = 0; i < kSources; i++) sources.push_back(apart<NoticeSource>(*channel, i));
  // Reports faster than the consumer takes.
  std::thread teller([&] {
    for (int i = 0; i < kTold; i++) {
      on_sentinel(*running.sentinel, [&](Sentinel& sentinel) {
        for (auto& source : sources) source->report(sentinel, RecordKind::kPressure, 1);
      });
    }
  });
  uint64_t total = 0;
  std::vector<uint64_t> counts(kSources);
  while (total < uint64_t{kSources} * kTold) {
    uint64_t wakes;
    REQUIRE(::read(consumer.fd.get(), &wakes, sizeof wakes) == sizeof wakes);
    channel->acknowledge();
    Record record;
    while (channel->pop(record)) {
      counts[record.target] += record.count;
      total += record.count;
    }
    running.sentinel->flush(*channel);
  }
  teller.join();
  for (uint64_t count : counts) CHECK(count == kTold);
  on_sentinel(*running.sentinel, [&](Sentinel& sentinel) {
    for (auto& source : sources) source->detach(sentinel);
    sentinel.detach(*channel);
  });
}

TEST_CASE("environments come and go on many threads") {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([] {
      for (int i = 0; i < 100; i++) {
        Running running;
        auto channel = apart<Channel>([](void*) {}, nullptr);
        on_sentinel(*running.sentinel,
                    [&](Sentinel& sentinel) { CHECK(sentinel.attach(*channel)); });
        on_sentinel(*running.sentinel, [&](Sentinel& sentinel) { sentinel.detach(*channel); });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(sentinels() == 0);
}

TEST_CASE("a delay writes its eventfd, and forgets what it has not reported") {
  Running running;
  auto channel = apart<Channel>([](void*) {}, nullptr);
  Fd fd(eventfd(0, EFD_CLOEXEC));
  DelaySource delay(*channel, 7);
  CHECK(delay.arm(-1).err == -EBADF);
  REQUIRE(delay.arm(fd.get()).ok());
  const int64_t start = sys::now_ns();
  on_sentinel(*running.sentinel,
              [&](Sentinel& sentinel) { delay.start(sentinel, start + 5'000'000, 3'000'000); });
  for (uint64_t seen = 0, count; seen < 4; seen += count) {
    REQUIRE(::read(fd.get(), &count, sizeof count) == sizeof count);
    CHECK(sys::now_ns() >= start + 5'000'000 + static_cast<int64_t>(seen) * 3'000'000);
  }
  on_sentinel(*running.sentinel, [&](Sentinel& sentinel) { delay.stop(sentinel); });
  Record record;
  uint64_t told = 0;
  while (channel->pop(record)) {
    CHECK(record.target == 7);
    CHECK(record.kind == RecordKind::kTimer);
    CHECK(record.at >= record.timer.due);
    told += record.count;
  }
  CHECK(told >= 4);
}
