#include "core/sys/datagram.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "core/sys/fd.h"

namespace oom::sys {

Status send_datagram(std::string_view address, std::string_view text) {
  sockaddr_un to = {};
  to.sun_family = AF_UNIX;
  const bool abstract = address.starts_with('@');
  if (!abstract && !address.starts_with('/')) return Status::of(-EAFNOSUPPORT, "connect");
  // A path needs its end, a name in the abstract namespace has none.
  if (address.size() + (abstract ? 0 : 1) > sizeof to.sun_path) {
    return Status::of(-ENAMETOOLONG, "connect");
  }
  memcpy(to.sun_path, address.data(), address.size());
  if (abstract) to.sun_path[0] = '\0';

  const Fd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return Status::last("socket");
  const auto size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size() + (abstract ? 0 : 1));
  const ssize_t sent = sendto(fd.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&to), size);
  return sent < 0 ? Status::last("sendto") : Status::success();
}

}  // namespace oom::sys
