// The sentinel's records as JavaScript gets them: the arguments of a handler, which are the record's
// kind, its time and its fields, in the order of the functions in lib/native/records.ts. An object is
// made of them there: each property that is set from here costs more than an argument does, which
// took a third of the time from an OOM to its consumer. Portable.
#pragma once

#include <concepts>
#include <cstddef>

#include "binding/addon.h"
#include "core/rules/episode_notes.h"
#include "core/sentinel/record.h"
#include "core/sys/codes.h"

namespace oom::binding {

class Row {
 public:
  // The name of a negative errno, where it is to be told; else null.
  using CodeName = const char* (*)(int err);
  // `notes`: of a kEpisodeEnd; null: there are none.
  Row(Napi::Env env, const Record& record, const EpisodeNotes* notes = nullptr,
      CodeName code_name = code::name);

  size_t size() const { return size_; }
  const napi_value* values() const { return values_; }
  Napi::Array to_array() const;

 private:
  static constexpr size_t kMost = 11;

  void put(napi_value value);
  void add(const char* text);
  void add(bool value);
  template <class T>
  requires std::integral<T>
  void add(T value) { put(Napi::Number::New(env_, static_cast<double>(value))); }
  void add(const Record::Watch& from);
  void add_time(int64_t ns);
  void add_limit(uint64_t bytes);

  Napi::Env env_;
  size_t size_ = 0;
  napi_value values_[kMost];
};

}  // namespace oom::binding
