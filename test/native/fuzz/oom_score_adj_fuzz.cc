#include "fuzz.h"

using namespace oom;

void fuzz(std::string_view text) {
  int adj = 0;
  if (parse::oom_score_adj(text, adj) == 0) FUZZ_CHECK(adj >= -1000 && adj <= 1000);
}
