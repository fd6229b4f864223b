// Tests the mapping of a ballast; test/kernel/protect/reserve.ts tests what it charges and frees.
#include "core/prepared/ballast.h"

#include <doctest/doctest.h>

#include <fstream>
#include <string>

using namespace oom;

namespace {

// How far the mapping that has the address reaches, to either side.
std::string mapping_of(const void* address) {
  auto at = reinterpret_cast<uintptr_t>(address);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    size_t dash;
    uintptr_t begin = std::stoull(line, &dash, 16);
    uintptr_t end = std::stoull(line.substr(dash + 1), nullptr, 16);
    if (begin <= at && at < end) {
      return std::to_string(at - begin) + " " + std::to_string(end - at);
    }
  }
  return "none";
}

std::string alone(const Ballast& ballast) { return "0 " + std::to_string(ballast.size()); }

}  // namespace

TEST_CASE("each is a mapping of its own, whatever is next to it") {
  constexpr size_t kBytes = size_t{256} << 10;
  Ballast several[4];
  for (Ballast& one : several) REQUIRE(one.open(kBytes).ok());
  for (const Ballast& one : several) CHECK(mapping_of(one.data()) == alone(one));
  for (Ballast& one : several) {
    CHECK(one.release() == static_cast<ssize_t>(kBytes));
    CHECK(one.resident() == 0);
    CHECK(mapping_of(one.data()) == alone(one));
    CHECK(one.refill().ok());
    CHECK(one.resident() == kBytes);
    CHECK(mapping_of(one.data()) == alone(one));
  }
}
