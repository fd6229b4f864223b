// One datagram to a socket of the machine: what sd_notify(3) sends. Never waits.
#pragma once

#include <string_view>

#include "core/sys/status.h"

namespace oom::sys {

// `address`: an absolute path, or '@' and a name in the abstract namespace. EAGAIN: the receiver's queue is
// full. EAFNOSUPPORT: it is an address of another kind (vsock).
Status send_datagram(std::string_view address, std::string_view text);

}  // namespace oom::sys
