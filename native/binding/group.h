// What other objects of the binding see of a group handle: the core's group, to watch or guard it.
#pragma once

#include <memory>

#include "binding/addon.h"
#include "core/memcg/group.h"

namespace oom::binding {

// The group of an open GroupHandle; nullptr if the value is none, or a closed one.
std::shared_ptr<Group> group_of(Napi::Value value);

}  // namespace oom::binding
