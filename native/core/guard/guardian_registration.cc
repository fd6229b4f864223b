#include "core/guard/guardian_registration.h"

#include <string>
#include <utility>

#include "core/memcg/freezer_v1_warm.h"

namespace oom {

Status GuardianRegistration::start() {
  Status status = GuardianLink::start();
  started_ = status.ok();
  return status;
}

Status GuardianRegistration::add(GuardianClient& client, const GuardConfig& config,
                                 const BackEndKind& kind,
                                 const std::shared_ptr<const Group>& group) {
  GuardianTerms terms;
  terms.delay_ns = config.episode.delay_ns;
  terms.grace_ns = config.grace_ns;
  terms.fallback = static_cast<uint32_t>(config.episode.fallback);
  terms.guard_descendants = config.guard_descendants;
  terms.version = static_cast<uint32_t>(group->version());
  terms.hold = config.hold;
  terms.root = std::shared_ptr<const Fd>(group, &group->fd());
  terms.place = config.place;
  Fd freezer;
  std::string path;
  if (config.episode.plans(StepKind::kFreeze) && kind.separate_freezer() &&
      freezer_v1::open_directory(group->path(), freezer, path).ok()) {
    terms.freezer = std::make_shared<const Fd>(std::move(freezer));
  }
  return GuardianLink::add(client, terms, id_);
}

void GuardianRegistration::remove(bool held) {
  if (id_ != 0) GuardianLink::remove(id_, held);
  id_ = 0;
  if (started_) GuardianLink::release();
  started_ = false;
}

}  // namespace oom
