// Why an episode has begun. Pure.
#pragma once

#include <cstdint>

namespace oom {

enum class Reason : uint8_t {
  kOom,     // the group is out of memory
  kThrash,  // it stalls at its limit without being out of memory: rules/thrash.h
};

}  // namespace oom
