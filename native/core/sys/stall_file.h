// Files of pressure stall information, opened before: Documentation/accounting/psi.rst.
#pragma once

#include <cstdint>

#include "core/sys/fd.h"
#include "core/sys/parse.h"
#include "core/sys/small_file.h"

namespace oom {

// How long some task, or with `full` all of them, has stalled in all: microseconds.
inline int read_stalled(const Fd& file, bool full, uint64_t& out) {
  char text[1024];
  ssize_t n = sys::read_small(file.get(), text, sizeof text);
  if (n < 0) return static_cast<int>(n);
  parse::PsiTotals totals;
  if (int err = parse::psi_totals({text, static_cast<size_t>(n)}, totals)) return err;
  out = full ? totals.full.value_or(0) : totals.some;
  return 0;
}

}  // namespace oom
