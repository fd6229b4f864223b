// One guard as it is registered with the guardian: the process is used from start() to remove(), is
// asked to stand behind the guard with add(), and does so from added() on.
//
// On threads that may sleep, and not with the guard's lock: the guardian's keeper takes that inside
// its own.
#pragma once

#include <cstdint>
#include <memory>

#include "core/guard/guard_config.h"
#include "core/guardian_link/link.h"
#include "core/memcg/back_end_kind.h"
#include "core/memcg/group.h"

namespace oom {

class GuardianRegistration {
 public:
  Status start();
  Status add(GuardianClient& client, const GuardConfig& config, const BackEndKind& kind,
             const std::shared_ptr<const Group>& group);
  Status added() { return GuardianLink::added(id_); }
  // `held` as GuardianLink::remove(). Idempotent.
  void remove(bool held);

 private:
  uint32_t id_ = 0;
  bool started_ = false;
};

}  // namespace oom
