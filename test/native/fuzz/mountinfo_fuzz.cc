#include "fuzz.h"

using namespace oom;

void fuzz(std::string_view text) {
  char path[64];
  ssize_t length = parse::unescape(text, path, sizeof path);
  FUZZ_CHECK(length == -ENAMETOOLONG || (length >= 0 && length <= 64));
  FUZZ_CHECK(length <= static_cast<ssize_t>(text.size()));
  std::string_view line;
  while (parse::next_line(text, line)) {
    parse::MountLine out;
    if (parse::mount_line(line, out) != 0) continue;
    FUZZ_CHECK(within(line, out.root) && within(line, out.mount_point) && within(line, out.type));
    FUZZ_CHECK(out.mount_point.front() == '/');
    (void)parse::has_word(out.super_options, "memory");
  }
}
