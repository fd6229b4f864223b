#include <vector>

#include "fuzz.h"

using namespace oom;

namespace {

int pids(std::string_view text, size_t cut, std::vector<pid_t>& out) {
  auto use = [&](pid_t pid) {
    FUZZ_CHECK(pid >= 0);
    out.push_back(pid);
  };
  parse::PidLines lines;
  int err = lines.feed(text.substr(0, cut), use);
  if (err == 0) err = lines.feed(text.substr(cut), use);
  return err == 0 ? lines.finish(use) : err;
}

}  // namespace

// Whole and in two pieces must give the same.
void fuzz(std::string_view text) {
  std::vector<pid_t> whole, pieces;
  int err = pids(text, text.size(), whole);
  FUZZ_CHECK(err == 0 || err == -EINVAL);
  FUZZ_CHECK(pids(text, text.size() / 3, pieces) == err);
  FUZZ_CHECK(whole == pieces);
}
