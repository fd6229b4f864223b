// The sentinel's records as JavaScript gets them: one object each, by kind, with named fields and
// the words of the public vocabulary. lib/native/records.ts has their types. Portable.
#pragma once

#include "binding/addon.h"
#include "core/sentinel/record.h"

namespace oom::binding {

Napi::Object to_js(Napi::Env env, const Record& record);

}  // namespace oom::binding
