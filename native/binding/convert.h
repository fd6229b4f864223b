// Between core values and JavaScript: a failed Status becomes an Error with errno, syscall and
// file, from which the TypeScript side builds the OomError (lib/base/errors.ts). Nothing clever here.
#pragma once

#include "binding/addon.h"
#include "core/sys/codes.h"
#include "core/sys/status.h"

namespace oom::binding {

inline Napi::Error to_error(Napi::Env env, const Status& status) {
  Napi::Error error = Napi::Error::New(env, status.syscall ? status.syscall : "native");
  error.Set("errno", Napi::Number::New(env, status.err));
  if (status.syscall) error.Set("syscall", Napi::String::New(env, status.syscall));
  if (status.file) error.Set("file", Napi::String::New(env, status.file));
  if (const char* own = code::name(status.err)) error.Set("code", Napi::String::New(env, own));
  return error;
}

// Throws into JavaScript if the status is a failure; whether it did.
inline bool throw_if_failed(Napi::Env env, const Status& status) {
  if (status.ok()) return false;
  to_error(env, status).ThrowAsJavaScriptException();
  return true;
}

}  // namespace oom::binding
