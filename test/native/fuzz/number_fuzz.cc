#include "fuzz.h"

using namespace oom;

void fuzz(std::string_view text) {
  uint64_t plain = 7, limit = 7;
  int err = parse::u64(text, plain);
  FUZZ_CHECK(err == 0 || err == -EINVAL || err == -ERANGE);
  FUZZ_CHECK(err == 0 || plain == 7);
  if (err == 0) FUZZ_CHECK(parse::limit(text, limit) == 0 && limit == plain);
}
