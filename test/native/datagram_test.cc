// What sd_notify(3) sends: that it arrives, and what is returned where it cannot.
#include "core/sys/datagram.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <string>

#include "core/sys/fd.h"

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

// A socket with an abstract name that no other process has.
Fd receiver(std::string& name) {
  name = "@oom-datagram-test-" + std::to_string(getpid());
  sockaddr_un at = {};
  at.sun_family = AF_UNIX;
  memcpy(at.sun_path + 1, name.data() + 1, name.size() - 1);
  Fd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  REQUIRE(bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), size) == 0);
  return fd;
}

}  // namespace

TEST_CASE("it arrives at an abstract name, as one message") {
  std::string name;
  const Fd fd = receiver(name);
  CHECK(sys::send_datagram(name, "READY=1\nSTATUS=x").ok());
  char text[64];
  const ssize_t n = recv(fd.get(), text, sizeof text, MSG_DONTWAIT);
  REQUIRE(n > 0);
  CHECK(std::string(text, static_cast<size_t>(n)) == "READY=1\nSTATUS=x");
}

TEST_CASE("a full queue is EAGAIN: it never waits") {
  std::string name;
  const Fd fd = receiver(name);
  Status status;
  for (int i = 0; i < 100'000 && status.ok(); i++) status = sys::send_datagram(name, "x");
  CHECK(status.err == -EAGAIN);
}

TEST_CASE("what is no address of AF_UNIX, too long, or nobody's is refused") {
  CHECK(sys::send_datagram("vsock:2:1234", "x").err == -EAFNOSUPPORT);
  CHECK(sys::send_datagram("", "x").err == -EAFNOSUPPORT);
  CHECK(sys::send_datagram("/" + std::string(107, 'x'), "x").err == -ENAMETOOLONG);
  CHECK(sys::send_datagram("/no/such/directory/socket", "x").err == -ENOENT);
  CHECK(sys::send_datagram("@oom-datagram-test-none", "x").err == -ECONNREFUSED);
}
