// The system calls behind cgroup-oom/primitives: eventfd(2), cgroup.event_control, pidfd_open(2),
// pidfd_send_signal(2), process_mrelease(2). On the environment's thread, but for mrelease, which
// sleeps and runs on the pool. Fds given to JavaScript here are taken over by a PolledFd at once.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "binding/addon.h"
#include "binding/async.h"
#include "binding/convert.h"
#include "binding/group.h"
#include "core/sys/event_control.h"
#include "core/sys/fd.h"
#include "core/sys/pidfd.h"
#include "core/sys/small_file.h"
#include "core/tree/inotify_hub.h"

namespace oom::binding {

namespace {

int fd_of(const Napi::CallbackInfo& info, size_t index = 0) {
  return info[index].As<Napi::Number>().Int32Value();
}

Napi::Value fd_or_throw(Napi::Env env, int fd, const char* syscall) {
  if (fd < 0) throw_if_failed(env, Status::of(fd, syscall));
  return Napi::Number::New(env, fd);
}

// (initial, semaphore) → fd
Napi::Value eventfd_create(const Napi::CallbackInfo& info) {
  const int flags = info[1].As<Napi::Boolean>() ? EFD_SEMAPHORE : 0;
  const int fd =
      eventfd(info[0].As<Napi::Number>().Uint32Value(), flags | EFD_CLOEXEC | EFD_NONBLOCK);
  return fd_or_throw(info.Env(), fd < 0 ? -errno : fd, "eventfd");
}

// (fd) → bigint, or undefined where it would have to wait
Napi::Value eventfd_take(const Napi::CallbackInfo& info) {
  uint64_t value = 0;
  ssize_t n;
  do {
    n = read(fd_of(info), &value, sizeof value);
  } while (n < 0 && errno == EINTR);
  if (n == sizeof value) return Napi::BigInt::New(info.Env(), value);
  if (errno != EAGAIN) throw_if_failed(info.Env(), Status::last("read"));
  return info.Env().Undefined();
}

// (fd, bigint)
void eventfd_add(const Napi::CallbackInfo& info) {
  bool lossless;
  const uint64_t value = info[1].As<Napi::BigInt>().Uint64Value(&lossless);
  ssize_t n;
  do {
    n = write(fd_of(info), &value, sizeof value);
  } while (n < 0 && errno == EINTR);
  if (n < 0) throw_if_failed(info.Env(), Status::last("write"));
}

// (GroupHandle or absolute path, file, event fd, args)
void register_event_of(const Napi::CallbackInfo& info) {
  const std::string file = info[1].As<Napi::String>();
  const std::string args = info[3].As<Napi::String>();
  std::shared_ptr<Group> group;
  if (!info[0].IsString()) {
    group = group_of(info[0]);
  } else if (throw_if_failed(info.Env(), Group::open(info[0].As<Napi::String>(), group))) {
    return;
  }
  const Status status =
      group ? register_event(group->dir(), file.c_str(), fd_of(info, 2), args.c_str())
            : Status::of(-EBADF, "openat");
  throw_if_failed(info.Env(), status);
}

// (pid) → fd
Napi::Value pidfd_open(const Napi::CallbackInfo& info) {
  return fd_or_throw(info.Env(), pidfd::open(fd_of(info)), "pidfd_open");
}

// (fd, signal)
void pidfd_send_signal(const Napi::CallbackInfo& info) {
  throw_if_failed(info.Env(),
                  Status::of(pidfd::send_signal(fd_of(info), fd_of(info, 1)), "pidfd_send_signal"));
}

// (fd) → Promise. A duplicate, so that closing meanwhile cannot hand it another process.
Napi::Value process_mrelease(const Napi::CallbackInfo& info) {
  const int fd = fcntl(fd_of(info), F_DUPFD_CLOEXEC, 0);
  if (fd < 0) {
    throw_if_failed(info.Env(), Status::last("fcntl"));
    return info.Env().Undefined();
  }
  return run_async<char>(
      info.Env(),
      [own = Fd(fd)](char&) { return Status::of(pidfd::mrelease(own.get()), "process_mrelease"); },
      [](Napi::Env env, char&) { return env.Undefined(); });
}

// → bigint: what is process.hrtime.bigint() in Node.js, and in other runtimes is not.
Napi::Value monotonic_now(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), sys::now_ns());
}

// → { pidfd, mrelease, inotify }: 0 or the negative errno that says why not. Changes nothing.
Napi::Value probe_syscalls(const Napi::CallbackInfo& info) {
  Fd own(pidfd::open(getpid()));
  // On a process that is not dying: EINVAL where the call exists.
  const int mrelease = own ? pidfd::mrelease(own.get()) : -ENOSYS;
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("pidfd", Napi::Number::New(info.Env(), own ? 0 : own.get()));
  result.Set("mrelease", Napi::Number::New(info.Env(), mrelease == -EINVAL ? 0 : mrelease));
  result.Set("inotify", Napi::Number::New(info.Env(), InotifyHub::probe()));
  return result;
}

}  // namespace

Napi::Object init_primitives(Napi::Env env, Napi::Object exports) {
  exports.Set("eventfdCreate", Napi::Function::New<eventfd_create>(env));
  exports.Set("eventfdTake", Napi::Function::New<eventfd_take>(env));
  exports.Set("eventfdAdd", Napi::Function::New<eventfd_add>(env));
  exports.Set("registerEvent", Napi::Function::New<register_event_of>(env));
  exports.Set("pidfdOpen", Napi::Function::New<pidfd_open>(env));
  exports.Set("pidfdSendSignal", Napi::Function::New<pidfd_send_signal>(env));
  exports.Set("processMrelease", Napi::Function::New<process_mrelease>(env));
  exports.Set("monotonicNow", Napi::Function::New<monotonic_now>(env));
  exports.Set("probeSyscalls", Napi::Function::New<probe_syscalls>(env));
  return exports;
}

}  // namespace oom::binding
