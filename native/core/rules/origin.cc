#include "core/rules/origin.h"

namespace oom {

Origin origin_of(const OriginSigns& signs) {
  const LimitSigns& own = signs.own;
  const LimitSigns& above = signs.above;
  if (!own.refused && !own.silent) return Origin::kAncestor;
  if (signs.mark == OriginSigns::Mark::kOwn) return Origin::kSelf;
  if (signs.mark == OriginSigns::Mark::kAbove) {
    return own.full ? Origin::kUnknown : Origin::kAncestor;
  }
  if (!above.limited || (!above.refused && !above.silent)) return Origin::kSelf;
  // Both have refused, or may have. The group was full all the time while those above were not; or
  // those above are while it is not, and no process's end has made it so.
  if (!above.full && own.full && signs.was_full) return Origin::kSelf;
  if (above.full && !own.full && !signs.was_full && !signs.freed) return Origin::kAncestor;
  return Origin::kUnknown;
}

}  // namespace oom
