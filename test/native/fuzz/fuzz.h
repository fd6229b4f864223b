// What every fuzz target shares: the input as text, and a check that aborts in every build.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/sys/parse.h"

#define FUZZ_CHECK(condition) ((condition) ? void() : std::abort())

// Whether `part` is a view into `whole`.
inline bool within(std::string_view whole, std::string_view part) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

void fuzz(std::string_view text);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
