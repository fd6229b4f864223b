#include "fuzz.h"

using namespace oom;

void fuzz(std::string_view text) {
  parse::PsiTotals totals{7, {}};
  if (parse::psi_totals(text, totals) != 0) FUZZ_CHECK(totals.some == 7 && !totals.full);
}
