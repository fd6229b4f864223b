// For tests: runs a closure on the sentinel's thread and waits, whatever it captures. The library's
// own calls capture nothing (Sentinel::call()); a test's stack may fault.
#pragma once

#include "core/sentinel/sentinel.h"

namespace oom {

template <class F>
void on_sentinel(Sentinel& sentinel, F&& fn) {
  sentinel.call([](Sentinel& self, std::remove_reference_t<F>* run) { (*run)(self); }, &fn);
}

// In memory that is never shared with a child, as the library makes them.
template <class T, class... Args>
LockedPtr<T> apart(Args&&... args) {
  Status status;
  return make_apart<T>(status, std::forward<Args>(args)...);
}

}  // namespace oom
