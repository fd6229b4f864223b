#include "fuzz.h"

using namespace oom;

void fuzz(std::string_view text) {
  parse::OomControl control;
  if (parse::oom_control(text, control) == 0) {
    FUZZ_CHECK(control.oom_kill_disable.has_value() || control.under_oom.has_value());
  }
}
