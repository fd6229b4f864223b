#include "core/rules/hold_line.h"

#include <algorithm>

#include "core/sys/units.h"

namespace oom::hold {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kLargestPage = 65536;
// The default: a 16th, which throttling alone holds for seconds. Small groups need room for what
// the kernel charges ahead on each CPU, large ones not a 16th: there the freezer is fast enough.
constexpr uint64_t kShare = 16;
constexpr uint64_t kLeast = 2 * kMiB;
constexpr uint64_t kMost = 512 * kMiB;
// Below this share of the line what is called reclaimable is not: the pages in use all the time.
constexpr uint64_t kResidue = 128;
constexpr int64_t kOwnWay = 50'000'000;
constexpr int64_t kAskMost = 1'000'000'000;
// A rate means something over so long.
constexpr int64_t kMeasure = 100'000'000;

uint64_t band(uint64_t max, const HoldConfig& config) {
  uint64_t wanted = config.band != 0 ? config.band : std::clamp(max / kShare, kLeast, kMost);
  return std::min(wanted, max / 2);
}

}  // namespace

uint64_t line(uint64_t max, const HoldConfig& config) {
  if (max == kUnlimited) return kUnlimited;
  return (max - band(max, config)) & ~(kLargestPage - 1);
}

uint64_t lowered_limit(uint64_t max, const HoldConfig& config, uint64_t ahead) {
  uint64_t at = line(max, config);
  if (at == kUnlimited) return at;
  return (at - std::min({at, band(max, config) / 2, ahead})) & ~(kLargestPage - 1);
}

uint64_t reclaimable(const Pages& pages) {
  return pages.file + pages.slab + std::min(pages.anon, pages.swap_room + pages.swap_cached);
}

bool starved(uint64_t usage, uint64_t reclaimable, uint64_t line) {
  if (line == kUnlimited || usage < line) return false;
  uint64_t needed = usage > reclaimable ? usage - reclaimable : 0;
  return needed + std::min(line / kResidue, 4 * kMiB) >= line;
}

uint64_t DipFilter::at(uint64_t line, uint64_t band, uint64_t ahead) {
  return line - std::min({line, band / 4, ahead});
}

Need DipFilter::judge(int64_t now, bool starved, bool past_line, bool stopped) {
  if (!starved) {
    past_at_ = -kSleep;
    return Need::kFine;
  }
  if (past_line) past_at_ = now;
  if (stopped || now - past_at_ < kDip) return Need::kStarved;
  return now - past_at_ < kSleep ? Need::kUnclear : Need::kNear;
}

bool FreezeRule::wanted(int64_t now, uint64_t usage, uint64_t line, uint64_t max, int64_t left_ns) {
  if (usage <= line || line >= max) return false;
  if (mode_ != HoldFreeze::kIfNeeded) return mode_ == HoldFreeze::kAlways;
  if (now - at_ >= kMeasure) {
    rate_ =
        usage > usage_ ? static_cast<double>(usage - usage_) / static_cast<double>(now - at_) : 0;
    at_ = now;
    usage_ = usage;
  }
  // Half of the band is for what is under way when it is decided.
  uint64_t last = line + (max - line) / 2;
  if (usage >= last || left_ns <= 0) return usage >= last;
  return rate_ * static_cast<double>(left_ns) >= static_cast<double>(last - usage);
}

bool may_ask(int64_t now, int64_t chosen_at, bool freed) {
  return chosen_at == 0 || now - chosen_at >= (freed ? kKillTakesEffect : kAskMost);
}

bool AskRule::due(uint32_t episode, int64_t now, uint64_t kills, uint64_t usage) {
  bool freed = usage < usage_;
  usage_ = usage;
  if (episode != episode_) {
    episode_ = episode;
    at_ = now + kOwnWay;
    wait_ = kKillTakesEffect;
    kills_ = kills;
    killed_at_ = 0;
  } else if (kills != kills_) {
    kills_ = kills;
    killed_at_ = now;
    at_ = std::max(at_, now + kKillTakesEffect);
  } else if (freed && killed_at_ != 0 && now - killed_at_ < kAskMost) {
    // Others may free and take for ever.
    at_ = std::max(at_, now + kKillTakesEffect);
  }
  if (now < at_) return false;
  at_ = now + wait_;
  wait_ = std::min(2 * wait_, kAskMost);
  return true;
}

}  // namespace oom::hold
