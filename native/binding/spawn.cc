// What spawn() needs of the system, on the environment's thread: neither call sleeps.
#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "binding/addon.h"
#include "binding/convert.h"
#include "binding/group.h"
#include "binding/words.h"
#include "core/sys/fd.h"
#include "core/sys/small_file.h"

namespace oom::binding {
namespace {

// [read end, write end], both closed by an exec.
Napi::Value status_pipe(const Napi::CallbackInfo& info) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    throw_if_failed(info.Env(), Status::last("pipe2"));
    return {};
  }
  Napi::Array pair = Napi::Array::New(info.Env(), 2);
  pair.Set(0u, Napi::Number::New(info.Env(), ends[0]));
  pair.Set(1u, Napi::Number::New(info.Env(), ends[1]));
  return pair;
}

// (handle of an open group): an fd for writing its cgroup.procs, closed by an exec. Opened relative
// to the group's directory: it is this group's, whatever is at its path by now.
Napi::Value open_procs(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Group> group = group_of(info[0]);
  const int fd = group ? sys::open_at(group->dir(), "cgroup.procs", O_WRONLY) : -EBADF;
  if (fd < 0) {
    throw_if_failed(info.Env(), Status::of(fd, "openat", "cgroup.procs"));
    return {};
  }
  return Napi::Number::New(info.Env(), fd);
}

// (fd): one of these. Of fs.closeSync() a worker thread says that fs has not opened it.
Napi::Value close_fd(const Napi::CallbackInfo& info) {
  close(info[0].As<Napi::Number>().Int32Value());
  return info.Env().Undefined();
}

// (bytes of the status pipe): what the launcher has reported so far, { stage, errno } each.
Napi::Value launch_words(const Napi::CallbackInfo& info) {
  const auto bytes = info[0].As<Napi::Uint8Array>();
  auto list = Napi::Array::New(info.Env());
  LaunchFailure said;
  for (uint32_t i = 0; (i + 1) * sizeof said <= bytes.ByteLength(); i++) {
    memcpy(&said, bytes.Data() + i * sizeof said, sizeof said);
    const char* stage = word(static_cast<LaunchStage>(said.stage));
    auto one = Napi::Object::New(info.Env());
    one.Set("stage", stage ? stage : "");
    one.Set("errno", -said.err);
    list[i] = one;
  }
  return list;
}

}  // namespace

Napi::Object init_spawn(Napi::Env env, Napi::Object exports) {
  exports.Set("openProcs", Napi::Function::New(env, open_procs, "openProcs"));
  exports.Set("statusPipe", Napi::Function::New(env, status_pipe, "statusPipe"));
  exports.Set("closeFd", Napi::Function::New(env, close_fd, "closeFd"));
  exports.Set("launchWords", Napi::Function::New(env, launch_words, "launchWords"));
  return exports;
}

}  // namespace oom::binding
