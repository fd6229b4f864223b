// sendDatagram: Node.js has no datagrams of AF_UNIX. On the environment's thread: the call does not wait.
#include "core/sys/datagram.h"

#include "binding/addon.h"
#include "binding/convert.h"

namespace oom::binding {
namespace {

// (address, text): throws what the kernel returned
void send_datagram(const Napi::CallbackInfo& info) {
  throw_if_failed(info.Env(), sys::send_datagram(info[0].As<Napi::String>().Utf8Value(),
                                                 info[1].As<Napi::String>().Utf8Value()));
}

}  // namespace

Napi::Object init_datagram(Napi::Env env, Napi::Object exports) {
  exports.Set("sendDatagram", Napi::Function::New(env, send_datagram, "sendDatagram"));
  return exports;
}

}  // namespace oom::binding
