// Entry of the addon: collects the objects. Runs once per environment, on its thread.
#include "binding/addon.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  oom::binding::init_ballast(env, exports);
  oom::binding::init_constants(env, exports);
  oom::binding::init_datagram(env, exports);
  oom::binding::init_group(env, exports);
  oom::binding::init_guards(env, exports);
  oom::binding::init_lock(env, exports);
  oom::binding::init_polled_fd(env, exports);
  oom::binding::init_primitives(env, exports);
  oom::binding::init_score(env, exports);
  oom::binding::init_simulation(env, exports);
  oom::binding::init_subscriptions(env, exports);
  oom::binding::init_spawn(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(cgroup_oom, init)
