#include "fuzz.h"

using namespace oom;

void fuzz(std::string_view text) {
  uint64_t pages = 7;
  if (parse::statm_resident(text, pages) != 0) FUZZ_CHECK(pages == 7);
}
