#include "core/watch/watch_kind.h"

#include <charconv>
#include <utility>

#include "core/sys/codes.h"
#include "core/watch/watch_v1.h"
#include "core/watch/watch_v2.h"

namespace oom {
namespace {

Status usage_samples(Channel& channel, uint32_t target, const Place& place,
                     const UsageThreshold& threshold, const UsageSamples::Files& files,
                     LockedPtr<Subscription>& out) {
  Status status;
  auto made = make_apart<UsageSamples>(status, channel, target, threshold);
  if (made) status = made->arm(place, files);
  out = std::move(made);
  return status;
}

class V1 final : public WatchKind {
 public:
  LockedPtr<OomWatch> make_watch(WatchSpec spec, Status& status) const override {
    return make_apart<OomWatchV1>(status, std::move(spec));
  }
  Status usage_watch(Channel& channel, uint32_t target, Place place,
                     const UsageThreshold& threshold, LockedPtr<Subscription>& out) const override {
    constexpr UsageSamples::Files kFiles = {"memory.usage_in_bytes", "memory.limit_in_bytes"};
    if (threshold.is_share()) return usage_samples(channel, target, place, threshold, kFiles, out);
    char text[24];
    *std::to_chars(text, text + sizeof text - 1, threshold.bytes).ptr = '\0';
    return event_watch(channel, target, std::move(place), RecordKind::kUsage, threshold.bytes,
                       kFiles.usage, text, out);
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
  Status usage_watch(Channel& channel, uint32_t target, Place place,
                     const UsageThreshold& threshold, LockedPtr<Subscription>& out) const override {
    return usage_samples(channel, target, place, threshold, {"memory.current", "memory.max"}, out);
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
