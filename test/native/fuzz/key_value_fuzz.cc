#include "fuzz.h"

using namespace oom;

// The first line is the key.
void fuzz(std::string_view text) {
  std::string_view key;
  if (!parse::next_line(text, key)) return;
  uint64_t value = 7;
  int err = parse::key_value(text, key, value);
  FUZZ_CHECK(err == 0 || err == -EINVAL || err == -ERANGE || err == -ENOENT);
  FUZZ_CHECK(err == 0 || value == 7);
}
