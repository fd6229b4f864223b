// What spawn() needs of the system: the pipe on which the launcher tells how it went.
#include <fcntl.h>
#include <unistd.h>

#include "binding/addon.h"
#include "binding/convert.h"

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

}  // namespace

Napi::Object init_spawn(Napi::Env env, Napi::Object exports) {
  exports.Set("statusPipe", Napi::Function::New(env, status_pipe, "statusPipe"));
  return exports;
}

}  // namespace oom::binding
