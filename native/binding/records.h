// The sentinel's records as JavaScript gets them: one object each, by kind, with named fields and
// the words of the public vocabulary. lib/native/records.ts has their types. Portable.
#pragma once

#include "binding/addon.h"
#include "core/rules/episode_notes.h"
#include "core/sentinel/record.h"

namespace oom::binding {

// `notes`: of a kEpisodeEnd; null: there are none.
Napi::Object to_js(Napi::Env env, const Record& record, const EpisodeNotes* notes = nullptr);

}  // namespace oom::binding
