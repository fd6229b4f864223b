// The messages between parent and guardian, over a SOCK_SEQPACKET pair: one message a packet. The
// parent sends Questions, and the guardian replies to each with one Answer. Both are built from the
// same sources, so no version is negotiated.
#pragma once

#include <cstdint>

namespace oom::guardian {

// The descriptors that the guardian is started with.
constexpr int kSocketFd = 3;
constexpr int kSharedFd = 4;  // SharedState
constexpr int kParentFd = 5;  // pidfd of the process it stands behind

enum class Ask : uint32_t {
  // Comes with descriptors as SCM_RIGHTS, in the order of `Sent`.
  kAdd = 1,
  // Disposes the guard. `held`: releases the groups that are found held first.
  kRemove,
};

// Which descriptors come with kAdd.
enum Sent : uint32_t {
  kRoot = 1,     // the group's directory
  kPlace = 2,    // cgroup.procs of where the guardian shall live
  kFreezer = 4,  // the directory of the v1 freezer group of the same path
};
constexpr int kMostSent = 3;

struct Question {
  Ask ask;
  uint32_t guard;
  int64_t delay_ns;
  int64_t grace_ns;
  uint32_t fallback;  // Fallback
  uint32_t guard_descendants;
  uint32_t sent;  // of Sent
  uint32_t held;
  uint32_t version;  // of cgroup
  uint64_t band;     // HoldConfig
  uint32_t by;       // HoldBy
  uint32_t who;      // Who
};

struct Answer {
  int32_t err;  // 0 or -errno
  uint32_t guard;
};

// The first message, from the guardian: it is ready.
constexpr uint32_t kHello = 0;

}  // namespace oom::guardian
