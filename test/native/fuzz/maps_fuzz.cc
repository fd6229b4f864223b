#include "core/prepared/image_ranges.h"
#include "fuzz.h"

using namespace oom;

void fuzz(std::string_view text) {
  MapsLine line{};
  if (maps_line(text, line)) {
    FUZZ_CHECK(line.range.begin < line.range.end);
    FUZZ_CHECK(int{line.heap} + int{line.stack} + int{line.program} <= 1);
  }
}
