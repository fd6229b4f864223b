#include "core/thread.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/lock.h"

namespace oom {
namespace {

size_t guard_size() { return static_cast<size_t>(getpagesize()); }

}  // namespace

Status PreparedThread::start(const char* name, void* (*main)(void*), void* arg) {
  size_t guard = guard_size();
  void* mapping = mmap(nullptr, kStack + guard, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_POPULATE, -1, 0);
  if (mapping == MAP_FAILED) return Status::last("mmap");
  mprotect(mapping, guard, PROT_NONE);
  char* stack = static_cast<char*>(mapping) + guard;
  if (int err = LockedRegions::add(stack, kStack)) {
    munmap(mapping, kStack + guard);
    return Status::of(err, "mlock", kMemlockLimit);
  }

  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstack(&attr, stack, kStack);
  // The thread inherits the mask: no signal handler of the process ever runs on it.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int err = pthread_create(&thread_, &attr, main, arg);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attr);
  if (err != 0) {
    LockedRegions::remove(stack, kStack);
    munmap(mapping, kStack + guard);
    return Status::of(-err, "pthread_create");
  }
  pthread_setname_np(thread_, name);
  stack_ = mapping;
  running_ = true;
  return Status::success();
}

void PreparedThread::join() {
  if (!running_) return;
  pthread_join(thread_, nullptr);
  LockedRegions::remove(static_cast<char*>(stack_) + guard_size(), kStack);
  munmap(stack_, kStack + guard_size());
  running_ = false;
}

}  // namespace oom
