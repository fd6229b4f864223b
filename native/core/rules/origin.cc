#include "core/rules/origin.h"

namespace oom {

std::optional<Origin> origin_by_own(const LimitSigns& own, OriginSigns::Mark mark) {
  if (!own.refused && !own.silent) return Origin::kAncestor;
  if (mark == OriginSigns::Mark::kOwn) return Origin::kSelf;
  if (mark == OriginSigns::Mark::kAbove) return own.full ? Origin::kUnknown : Origin::kAncestor;
  return std::nullopt;
}

Origin origin_of(const OriginSigns& signs) {
  const LimitSigns& own = signs.own;
  const LimitSigns& above = signs.above;
  if (std::optional<Origin> decided = origin_by_own(own, signs.mark)) return *decided;
  if (!above.limited || (!above.refused && !above.silent)) return Origin::kSelf;
  // Both have refused, or may have. The group was full all the time while those above were not; or
  // those above are while it is not, and no process's end has made it so.
  if (!above.full && own.full && signs.was_full) return Origin::kSelf;
  if (above.full && !own.full && !signs.was_full && !signs.freed) return Origin::kAncestor;
  return Origin::kUnknown;
}

}  // namespace oom
