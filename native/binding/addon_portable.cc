// Entry of the addon where there is no Linux: only what cgroup-oom/testing needs.
#include "binding/addon.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  oom::binding::init_constants(env, exports);
  return oom::binding::init_simulation(env, exports);
}

}  // namespace

NODE_API_MODULE(cgroup_oom, init)
