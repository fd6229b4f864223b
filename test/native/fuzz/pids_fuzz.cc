#include "fuzz.h"

using namespace oom;

// Whole and in two pieces must give the same.
void fuzz(std::string_view text) {
  pid_t whole[64], pieces[64];
  size_t count = 0, seen = 0;
  int err = parse::pids(text, whole, 64, count);
  FUZZ_CHECK(err == 0 || err == -EINVAL || err == -E2BIG);
  auto use = [&](pid_t pid) {
    FUZZ_CHECK(pid > 0);
    if (seen < 64) pieces[seen] = pid;
    seen++;
  };
  parse::PidLines lines;
  int split = lines.feed(text.substr(0, text.size() / 3), use);
  if (split == 0) split = lines.feed(text.substr(text.size() / 3), use);
  if (split == 0) split = lines.finish(use);
  FUZZ_CHECK((split == 0) == (err == 0 || err == -E2BIG));
  if (split != 0) return;
  FUZZ_CHECK(err == -E2BIG ? seen > 64 : seen == count);
  for (size_t i = 0; i < count; i++) FUZZ_CHECK(whole[i] == pieces[i]);
}
