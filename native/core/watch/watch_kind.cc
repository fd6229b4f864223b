#include "core/watch/watch_kind.h"

#include <charconv>
#include <utility>

#include "core/sys/codes.h"
#include "core/watch/watch_v1.h"
#include "core/watch/watch_v2.h"

namespace oom {
namespace {

class V1 final : public WatchKind {
 public:
  LockedPtr<OomWatch> make_watch(WatchSpec spec, Status& status) const override {
    return make_apart<OomWatchV1>(status, std::move(spec));
  }
  Status usage_watch(Channel& channel, uint32_t target, Place place, uint64_t threshold,
                     LockedPtr<Subscription>& out) const override {
    char text[24];
    *std::to_chars(text, text + sizeof text - 1, threshold).ptr = '\0';
    return event_watch(channel, target, std::move(place), RecordKind::kUsage, threshold,
                       "memory.usage_in_bytes", text, out);
  }
  Status level_watch(Channel& channel, uint32_t target, Place place, const char* level,
                     LockedPtr<Subscription>& out) const override {
    return event_watch(channel, target, std::move(place), RecordKind::kPressure, 0,
                       "memory.pressure_level", level, out);
  }
  int stalls_at(int) const override { return -1; }

 private:
  static Status event_watch(Channel& channel, uint32_t target, Place place, RecordKind kind,
                            uint64_t threshold, const char* file, const char* args,
                            LockedPtr<Subscription>& out) {
    Status status;
    auto made =
        make_apart<EventWatchV1>(status, channel, target, std::move(place), kind, threshold);
    if (made) status = made->arm(file, args);
    out = std::move(made);
    return status;
  }
};

class V2 final : public WatchKind {
 public:
  LockedPtr<OomWatch> make_watch(WatchSpec spec, Status& status) const override {
    return make_apart<OomWatchV2>(status, std::move(spec));
  }
  Status usage_watch(Channel& channel, uint32_t target, Place place, uint64_t threshold,
                     LockedPtr<Subscription>& out) const override {
    Status status;
    auto made = make_apart<UsageWatchV2>(status, channel, target, threshold);
    if (made) status = made->arm(place);
    out = std::move(made);
    return status;
  }
  Status level_watch(Channel&, uint32_t, Place place, const char*,
                     LockedPtr<Subscription>&) const override {
    int err = place.exists("cgroup.procs");
    return err == 0 ? code::fail(code::kCgroupUnsupported, "memory.pressure_level")
                    : Status::of(err, "open", "cgroup.procs");
  }
  int stalls_at(int dir) const override { return dir; }
};

constexpr V1 kV1;
constexpr V2 kV2;

}  // namespace

const WatchKind& WatchKind::of(const Memcg& memcg) {
  if (memcg.version() == 1) return kV1;
  return kV2;
}

}  // namespace oom
