#include "core/memcg/back_end_kind.h"

#include <new>

#include "core/memcg/signal_back_end.h"
#include "core/memcg/v1_oom_control.h"
#include "core/memcg/v2_memory_high.h"

namespace oom {
namespace {

class KindV1 final : public BackEndKind {
 public:
  BackEnd* make(void* at, const HoldConfig&) const override {
    static_assert(sizeof(OomControlBackEnd) <= kRoom);
    return new (at) OomControlBackEnd();
  }
  std::unique_ptr<BackEnd> make(const HoldConfig&) const override {
    return std::make_unique<OomControlBackEnd>();
  }
  const Traits& traits() const override { return OomControlBackEnd::kTraits; }
  const char* control() const override { return kOomControl; }
  void release(int dir) const override { (void)enable_killer(dir); }
  // v1: the kernel notifies the guard of all that matters, so no file has to be watched.
  std::array<const char*, 3> touched_files(bool) const override { return {}; }
  bool tells_removal() const override { return true; }
  bool separate_freezer() const override { return true; }
  bool freezes(const HoldConfig&) const override { return false; }
};

class KindV2 final : public BackEndKind {
 public:
  BackEnd* make(void* at, const HoldConfig& hold) const override {
    static_assert(sizeof(MemoryHighBackEnd) <= kRoom);
    return new (at) MemoryHighBackEnd(hold);
  }
  std::unique_ptr<BackEnd> make(const HoldConfig& hold) const override {
    return std::make_unique<MemoryHighBackEnd>(hold);
  }
  const Traits& traits() const override { return MemoryHighBackEnd::kTraits; }
  const char* control() const override { return "memory.high"; }
  // Nothing is handed down.
  void release(int) const override {}
  // The line moves with it.
  std::array<const char*, 3> touched_files(bool freezer) const override {
    return {"memory.max", "memory.high", freezer ? "cgroup.freeze" : nullptr};
  }
  // Not before 7.1.
  bool tells_removal() const override { return false; }
  bool separate_freezer() const override { return false; }
  bool freezes(const HoldConfig& hold) const override { return hold.freeze != HoldFreeze::kNever; }
};

// Nothing is written, so nothing is handed down, watched or restored.
class KindSignals final : public BackEndKind {
 public:
  explicit KindSignals(int version) : version_(version) {}
  BackEnd* make(void* at, const HoldConfig& hold) const override {
    static_assert(sizeof(SignalBackEnd) <= kRoom);
    return new (at) SignalBackEnd(version_, hold);
  }
  std::unique_ptr<BackEnd> make(const HoldConfig& hold) const override {
    return std::make_unique<SignalBackEnd>(version_, hold);
  }
  const Traits& traits() const override { return SignalBackEnd::kTraits; }
  const char* control() const override {
    return version_ == 2 ? "memory.current" : "memory.usage_in_bytes";
  }
  void release(int) const override {}
  std::array<const char*, 3> touched_files(bool) const override { return {}; }
  bool tells_removal() const override { return false; }
  bool separate_freezer() const override { return false; }
  bool freezes(const HoldConfig&) const override { return false; }
  bool holds_from_inside() const override { return true; }

 private:
  const int version_;
};

const KindV1 kV1;
const KindV2 kV2;
const KindSignals kSignalsV1(1);
const KindSignals kSignalsV2(2);

}  // namespace

const BackEndKind& back_end_kind(int version, HoldBy by) {
  if (by == HoldBy::kSignals) return version == 2 ? kSignalsV2 : kSignalsV1;
  if (version == 2) return kV2;
  return kV1;
}

}  // namespace oom
