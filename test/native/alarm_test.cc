// A call that would go on is interrupted, again and again, and only that of its own thread.
#include "core/prepared/alarm.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <signal.h>

#include <cerrno>
#include <thread>

using namespace oom;

namespace {

bool interrupted() {
  errno = 0;
  return poll(nullptr, 0, 60'000) < 0 && errno == EINTR;
}

int handled_signals() {
  int count = 0;
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; signal++) {
    struct sigaction now;
    if (sigaction(signal, nullptr, &now) == 0 && now.sa_handler != SIG_DFL) count++;
  }
  return count;
}

}  // namespace

TEST_CASE("a call is interrupted, as often as there is one") {
  Alarm alarm;
  REQUIRE(alarm.open().ok());
  REQUIRE(alarm.start(1'000'000));
  for (int i = 0; i < 3; i++) CHECK(interrupted());
  alarm.stop();
  CHECK(poll(nullptr, 0, 20) == 0);
}

TEST_CASE("each thread has its own, and all have one signal") {
  Alarm alarm;
  REQUIRE(alarm.open().ok());
  int before = handled_signals();
  bool theirs = false;
  std::thread other([&] {
    Alarm second;
    theirs = second.open().ok() && second.start(1'000'000) && interrupted();
  });
  other.join();
  CHECK(theirs);
  CHECK(handled_signals() == before);
}

TEST_CASE("without open() nothing is interrupted") {
  Alarm alarm;
  CHECK_FALSE(alarm.start(1));
  alarm.stop();
}

TEST_CASE("an alarm does not start if its signal has another handler by now") {
  Alarm alarm;
  REQUIRE(alarm.open().ok());
  int ours = 0;
  struct sigaction was = {};
  for (int signal = SIGRTMAX; ours == 0; signal--) {
    sigaction(signal, nullptr, &was);
    if (was.sa_handler != SIG_DFL && was.sa_handler != SIG_IGN) ours = signal;
  }
  signal(ours, SIG_DFL);
  CHECK_FALSE(alarm.start(1'000'000));
  sigaction(ours, &was, nullptr);
  CHECK(alarm.start(1'000'000));
  CHECK(interrupted());
}
