#include "fuzz.h"

using namespace oom;

void fuzz(std::string_view text) {
  for (std::string_view controller : {"memory", ""}) {
    std::string_view path = "none";
    if (parse::cgroup_path(text, controller, path) != 0) continue;
    FUZZ_CHECK(within(text, path) && path.front() == '/');
  }
  std::string_view line;
  while (parse::next_line(text, line)) {
    parse::CgroupLine out;
    if (parse::cgroup_line(line, out) != 0) continue;
    FUZZ_CHECK(within(line, out.controllers) && within(line, out.path) && out.path.front() == '/');
  }
}
