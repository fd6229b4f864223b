#include "core/prepared/thread.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/prepared/mlock.h"

namespace oom {
namespace {

size_t guard_size() { return static_cast<size_t>(getpagesize()); }

// How much of a stack a child must still be able to read, from its top.
//
// The C library keeps a thread's control block there, with errno and what the kernel writes at each
// return to user space (rseq(2)). In the child of a fork glibc writes into the blocks of other
// threads, to unlink the only one that goes on, but believes nothing that they say: pages of zeros
// do. musl follows a list through all of them: there this page stays, and is shared.
#ifdef __GLIBC__
constexpr size_t kKept = 0;
#else
constexpr size_t kKept = 4096;
#endif

}  // namespace

Status PreparedThread::start(const char* name, void* (*main)(void*), void* arg) {
  size_t guard = guard_size();
  void* mapping = mmap(nullptr, size_ + guard, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return Status::last("mmap");
  char* stack = static_cast<char*>(mapping) + guard;
  Status status;
  // Before there is a page that a child could share.
  if (madvise(stack, size_ - kKept, MADV_WIPEONFORK) != 0) {
    status = Status::last("madvise");
  } else if (mprotect(stack, size_, PROT_READ | PROT_WRITE) != 0) {
    status = Status::last("mprotect");
  } else {
    status = make_resident(stack, size_);
  }
  if (int err = status.ok() ? LockedRegions::add(stack, size_) : 0) {
    status = Status::of(err, "mlock", kMemlockLimit);
  }
  if (!status.ok()) {
    munmap(mapping, size_ + guard);
    return status;
  }

  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstack(&attr, stack, size_);
  // The thread inherits the mask: no signal handler of the process ever runs on it.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int err = pthread_create(&thread_, &attr, main, arg);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attr);
  if (err != 0) {
    LockedRegions::remove(stack, size_);
    munmap(mapping, size_ + guard);
    return Status::of(-err, "pthread_create");
  }
  pthread_setname_np(thread_, name);
  stack_ = mapping;
  running_ = true;
  return Status::success();
}

void PreparedThread::join() {
  if (!running_) return;
  char* stack = static_cast<char*>(stack_) + guard_size();
  // A child that is forked while the C library unlinks the thread finishes that, and follows what
  // the thread's block says. It has been asked to end: nothing that matters is written any more.
  madvise(stack, size_, MADV_KEEPONFORK);
  pthread_join(thread_, nullptr);
  LockedRegions::remove(stack, size_);
  munmap(stack_, size_ + guard_size());
  running_ = false;
}

}  // namespace oom
