#include "core/prepared/alarm.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>

#ifndef sigev_notify_thread_id  // the name in musl; glibc 2.36 has the member alone
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace oom {
namespace {

std::mutex choosing;
std::atomic<int> chosen{0};

// That a handler has run is all that is wanted: an ignored signal interrupts nothing.
void on_alarm(int) {}

bool is_ours(int signal) {
  struct sigaction now;
  return sigaction(signal, nullptr, &now) == 0 && now.sa_handler == &on_alarm;
}

// The highest real-time signal without a handler: programs that use some begin with the lowest.
int choose() {
  std::lock_guard lock(choosing);
  if (int signal = chosen.load(); signal != 0 && is_ours(signal)) return signal;
  for (int signal = SIGRTMAX; signal >= SIGRTMIN; signal--) {
    struct sigaction now;
    if (sigaction(signal, nullptr, &now) != 0 || now.sa_handler != SIG_DFL) continue;
    struct sigaction ours = {};
    ours.sa_handler = &on_alarm;
    sigfillset(&ours.sa_mask);
    if (sigaction(signal, &ours, nullptr) != 0) continue;
    chosen.store(signal);
    return signal;
  }
  return 0;
}

}  // namespace

Status Alarm::open() {
  if (timer_ >= 0) return Status::success();
  int signal = choose();
  if (signal == 0) return Status::of(-EBUSY, "sigaction");
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  struct sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = signal;
  event.sigev_notify_thread_id = static_cast<pid_t>(syscall(SYS_gettid));
  // Not the C library's, which may allocate.
  if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer_) != 0) {
    timer_ = -1;
    return Status::last("timer_create");
  }
  return Status::success();
}

Alarm::~Alarm() {
  if (timer_ >= 0) syscall(SYS_timer_delete, timer_);
}

bool Alarm::set(int64_t ns) {
  struct timespec each = {ns / 1'000'000'000, ns % 1'000'000'000};
  struct itimerspec when = {each, each};
  return syscall(SYS_timer_settime, timer_, 0, &when, nullptr) == 0;
}

bool Alarm::start(int64_t ns) {
  // Other code in this process may have installed a handler for the signal since.
  return timer_ >= 0 && is_ours(chosen.load()) && set(ns);
}

void Alarm::stop() {
  if (timer_ >= 0) set(0);
}

}  // namespace oom
