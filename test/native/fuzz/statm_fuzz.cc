#include "fuzz.h"

using namespace oom;

// What cannot be read leaves what was there.
void fuzz(std::string_view text) {
  parse::Statm statm{};
  statm.resident = 7;
  if (parse::statm(text, statm) != 0) FUZZ_CHECK(statm.resident == 7);
}
