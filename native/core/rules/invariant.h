// What always holds in the rules, checked where the value changes. Compiled into every build of
// CMake's (the tests, the simulations, the sanitizers); in the build that users get (binding.gyp)
// it is no code. Pure: a violation is printed, and the process ends.
#pragma once

#ifdef OOM_INVARIANTS

#include <cstdio>
#include <cstdlib>

namespace oom {

[[noreturn]] inline void invariant_violated(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: ERROR: violated: %s\n", file, line, condition);
  std::abort();
}

}  // namespace oom

#define OOM_INVARIANT(condition) \
  ((condition) ? static_cast<void>(0) : oom::invariant_violated(#condition, __FILE__, __LINE__))

#else

// Compiled, so that it cannot rot, and never evaluated.
#define OOM_INVARIANT(condition) static_cast<void>(true || (condition))

#endif
