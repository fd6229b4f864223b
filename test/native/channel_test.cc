// The ring from the sentinel to an environment: order, fullness, and that no wake-up and no flush
// is lost between two threads (also run under ThreadSanitizer).
#include "core/sentinel/channel.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <memory>
#include <thread>

#include "core/sys/fd.h"
#include "on_sentinel.h"

using oom::Channel;
using oom::Fd;
using oom::Record;

namespace {

void wake(void* fd) {
  uint64_t one = 1;
  CHECK(::write(static_cast<Fd*>(fd)->get(), &one, sizeof one) == sizeof one);
}

// False if nothing came for 30 s: then a wake-up must have been lost.
bool wait(const Fd& fd) {
  pollfd poll_fd{fd.get(), POLLIN, 0};
  if (poll(&poll_fd, 1, 30'000) != 1) return false;
  uint64_t count;
  return ::read(fd.get(), &count, sizeof count) == sizeof count;
}

Record numbered(uint32_t n) {
  Record record(oom::RecordKind::kUsage, n);
  record.usage = {.bytes = uint64_t{n} * 3, .above = true};
  return record.to(n);
}

}  // namespace

TEST_CASE("first in, first out, and full when it is") {
  int wakes = 0;
  auto channel = oom::apart<Channel>([](void* count) { ++*static_cast<int*>(count); }, &wakes);
  Record record;
  CHECK_FALSE(channel->pop(record));
  channel->wake_if_dirty();
  CHECK(wakes == 0);
  for (int round = 0; round < 3; round++) {
    CHECK(channel->room(Channel::kSize));
    CHECK_FALSE(channel->room(Channel::kSize + 1));
    for (uint32_t i = 0; i < Channel::kSize; i++) REQUIRE(channel->push(numbered(i)));
    CHECK_FALSE(channel->push(numbered(0)));
    CHECK_FALSE(channel->room());
    channel->wake_if_dirty();
    channel->wake_if_dirty();
    CHECK(wakes == round + 1);
    // Not taken back yet: more of the same need no other wake-up.
    channel->acknowledge();
    for (uint32_t i = 0; i < Channel::kSize; i++) {
      REQUIRE(channel->pop(record));
      REQUIRE(record.target == i);
      REQUIRE(record.usage.bytes == i * 3);
    }
    CHECK_FALSE(channel->pop(record));
  }
}

TEST_CASE("exactly one side learns that the producer waits for room") {
  auto channel = oom::apart<Channel>([](void*) {}, nullptr);
  while (channel->push(Record())) continue;
  CHECK_FALSE(channel->wait_for_room());
  Record record;
  CHECK(channel->pop(record));
  CHECK(channel->take_backlog());
  CHECK_FALSE(channel->take_backlog());
  // Here the consumer has taken a record before the producer asked for room.
  CHECK(channel->push(record));
  CHECK(channel->pop(record));
  CHECK_FALSE(channel->take_backlog());
  CHECK(channel->wait_for_room());
}

TEST_CASE("a producer passes all records to a consumer in order, whichever of them waits") {
  constexpr uint32_t kMany = 300'000;
  Fd data(eventfd(0, EFD_CLOEXEC)), room(eventfd(0, EFD_CLOEXEC));
  auto channel = oom::apart<Channel>(wake, &data);
  bool lost = false;
  std::thread producer([&] {
    for (uint32_t i = 0; i < kMany;) {
      // Rounds of different lengths, as the sentinel's are.
      for (uint32_t n = 0; n < 1 + i % 700 && i < kMany; n++) {
        if (channel->push(numbered(i))) {
          i++;
        } else if (!channel->wait_for_room()) {
          channel->wake_if_dirty();
          if (!wait(room)) {
            lost = true;
            return;
          }
        }
      }
      channel->wake_if_dirty();
    }
  });
  uint32_t expected = 0;
  bool in_order = true;
  while (expected < kMany && in_order && wait(data)) {
    channel->acknowledge();
    Record record;
    while (channel->pop(record)) in_order &= record.target == expected++;
    if (channel->take_backlog()) wake(&room);
  }
  producer.join();
  CHECK_FALSE(lost);
  CHECK(in_order);
  CHECK(expected == kMany);
}
