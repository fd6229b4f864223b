// Frees objects after the current iteration of the guardian's loop, since pending epoll events of
// that iteration may still reference them. Runs on the guardian's only thread.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "core/sentinel/sentinel.h"

namespace oom::guardian {

class DeferredFree {
 public:
  explicit DeferredFree(Sentinel& loop) : loop_(loop) {}

  void add(std::shared_ptr<void> object) {
    objects_.push_back(std::move(object));
    if (sweep_.posted) return;
    sweep_.posted = true;
    sweep_.owner = this;
    sweep_.run = [](Command& command, Sentinel&) {
      auto& sweep = static_cast<Sweep&>(command);
      sweep.posted = false;
      // A destructor may add more objects: the list must be empty before the first one runs.
      std::vector<std::shared_ptr<void>> objects;
      objects.swap(sweep.owner->objects_);
    };
    loop_.post(sweep_);
  }

 private:
  struct Sweep : Command {
    DeferredFree* owner = nullptr;
    bool posted = false;
  };
  Sentinel& loop_;
  Sweep sweep_;
  std::vector<std::shared_ptr<void>> objects_;
};

}  // namespace oom::guardian
