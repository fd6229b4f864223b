// $MEMORY_PRESSURE_WATCH: what a service manager gives a process to hear of memory pressure by. A
// PSI file, a FIFO or a listening AF_UNIX stream socket: https://systemd.io/PRESSURE/
#pragma once

#include <memory>
#include <string>

#include "core/watch/subscriptions.h"

namespace oom {

struct ServicePressure {
  std::string path;
  // Written as it is, right after opening; may be empty, but for a PSI file.
  std::string data;
  // What a PSI file is asked for by `data`.
  bool full = false;
  uint64_t stall_us = 0;
};

// ERR_PRESSURE_WATCH for a file of another kind, or a PSI file without a trigger.
Status service_pressure(Channel& channel, uint32_t target, const ServicePressure& from,
                        LockedPtr<Subscription>& out);

}  // namespace oom
