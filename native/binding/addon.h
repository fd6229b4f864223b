// One file per object: each offers an init function that adds it to the exports. What belongs to
// one JavaScript environment (main thread or worker) hangs on it, never on a static.
#pragma once

#define NAPI_VERSION 8
#include <napi.h>

namespace oom::binding {

// Each is called once per environment, from addon.cc.
Napi::Object init_ballast(Napi::Env env, Napi::Object exports);
Napi::Object init_constants(Napi::Env env, Napi::Object exports);
Napi::Object init_datagram(Napi::Env env, Napi::Object exports);
Napi::Object init_group(Napi::Env env, Napi::Object exports);
Napi::Object init_guards(Napi::Env env, Napi::Object exports);
Napi::Object init_lock(Napi::Env env, Napi::Object exports);
Napi::Object init_polled_fd(Napi::Env env, Napi::Object exports);
Napi::Object init_primitives(Napi::Env env, Napi::Object exports);
Napi::Object init_score(Napi::Env env, Napi::Object exports);
Napi::Object init_subscriptions(Napi::Env env, Napi::Object exports);
Napi::Object init_simulation(Napi::Env env, Napi::Object exports);
Napi::Object init_spawn(Napi::Env env, Napi::Object exports);

}  // namespace oom::binding
