#include "fuzz.h"

using namespace oom;

#include <string>

// As it comes, and as a command name inside a line that is right: the name must change nothing.
void fuzz(std::string_view text) {
  parse::ProcStat stat{};
  (void)parse::proc_stat(text, stat);
  std::string line =
      "42 (" + std::string(text) + ") S 7 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 99 1 1\n";
  FUZZ_CHECK(parse::proc_stat(line, stat) == 0);
  FUZZ_CHECK(stat.pid == 42 && stat.state == 'S' && stat.ppid == 7);
}
