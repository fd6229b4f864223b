#include "core/memcg/hold_kind.h"

#include <new>

#include "core/memcg/v1_oom_control.h"
#include "core/memcg/v2_memory_high.h"

namespace oom {
namespace {

class KindV1 final : public HotKind {
 public:
  HotGroup* make(void* at, const HoldConfig&) const override {
    static_assert(sizeof(HotGroupV1) <= kRoom);
    return new (at) HotGroupV1();
  }
  std::unique_ptr<HotGroup> make(const HoldConfig&) const override {
    return std::make_unique<HotGroupV1>();
  }
  const Traits& traits() const override { return HotGroupV1::kTraits; }
  const char* control() const override { return kOomControl; }
  void forgo(int dir) const override { (void)enable_killer(dir); }
  // The kernel tells of what matters.
  const char* touched_file() const override { return nullptr; }
  bool tells_removal() const override { return true; }
  bool twin_freezer() const override { return true; }
  bool freezes(const HoldConfig&) const override { return false; }
};

class KindV2 final : public HotKind {
 public:
  HotGroup* make(void* at, const HoldConfig& hold) const override {
    static_assert(sizeof(HotGroupV2) <= kRoom);
    return new (at) HotGroupV2(hold);
  }
  std::unique_ptr<HotGroup> make(const HoldConfig& hold) const override {
    return std::make_unique<HotGroupV2>(hold);
  }
  const Traits& traits() const override { return HotGroupV2::kTraits; }
  const char* control() const override { return "memory.high"; }
  // Nothing is handed down.
  void forgo(int) const override {}
  // The line moves with it.
  const char* touched_file() const override { return "memory.max"; }
  // Not before 7.1.
  bool tells_removal() const override { return false; }
  bool twin_freezer() const override { return false; }
  bool freezes(const HoldConfig& hold) const override { return hold.freeze != HoldFreeze::kNever; }
};

const KindV1 kV1;
const KindV2 kV2;

}  // namespace

const HotKind& hot_kind(int version) {
  if (version == 2) return kV2;
  return kV1;
}

}  // namespace oom
