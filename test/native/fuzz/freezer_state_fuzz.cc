#include "fuzz.h"

using namespace oom;

void fuzz(std::string_view text) {
  parse::FreezerState state{};
  if (parse::freezer_state(text, state) == 0) FUZZ_CHECK(state <= parse::FreezerState::kFrozen);
}
