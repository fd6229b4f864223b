#include "fuzz.h"

using namespace oom;

void fuzz(std::string_view text) {
  parse::MemoryEvents events;
  if (parse::memory_events(text, events) == 0) FUZZ_CHECK(events.oom.has_value());
  parse::CgroupEvents group{};
  if (parse::cgroup_events(text, group) != 0) FUZZ_CHECK(!group.populated && !group.frozen);
  FUZZ_CHECK(!parse::lists(text, "memory") || text.find("memory") != std::string_view::npos);
}
