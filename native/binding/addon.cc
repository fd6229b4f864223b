// Entry of the addon: collects the objects. Runs once per environment, on its thread.
#include "binding/addon.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  using namespace oom::binding;
  init_ballast(env, exports);
  init_lock(env, exports);
  init_polled_fd(env, exports);
  init_primitives(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(cgroup_oom, init)
