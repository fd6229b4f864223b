#include "core/watch/service_pressure.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string_view>

#include "core/sys/codes.h"

namespace oom {
namespace {

// A FIFO or a socket: whatever can be read from it means pressure, and is thrown away.
class InboxWatch final : public Subscription {
 public:
  InboxWatch(Channel& channel, uint32_t target, Fd fd, std::string own)
      : Subscription(channel, target), own_(std::move(own)) {
    fd_ = std::move(fd);
  }
  int attach(Sentinel& sentinel) override { return sentinel.add(fd_.get(), *this, EPOLLIN); }

  void ready(Sentinel& sentinel, int64_t now) override {
    constexpr int kReads = 8;  // what is left wakes the sentinel again
    char buffer[4096];
    bool of_others = false;
    for (int i = 0; i < kReads; i++) {
      ssize_t n = ::read(fd_.get(), buffer, sizeof buffer);
      if (n < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN) break;
        return ended(sentinel, now);
      }
      if (n == 0) {
        if (of_others) report(sentinel, now);
        return ended(sentinel, now);
      }
      of_others |= !is_own({buffer, static_cast<size_t>(n)});
    }
    if (of_others) report(sentinel, now);
  }
  void due(Sentinel&, int64_t) override {}

 private:
  void report(Sentinel& sentinel, int64_t now) {
    Record event(RecordKind::kPressure, now);
    event.pressure = {.total_us = 0, .sampled = false};
    happened(sentinel, event);
  }
  // The text written into a FIFO can be read back, unless another process has read it.
  bool is_own(std::string_view text) {
    std::string_view own = std::string_view(own_).substr(seen_);
    std::string_view head = text.substr(0, own.size());
    if (own.substr(0, head.size()) != head) return false;
    seen_ += head.size();
    return head.size() == text.size();
  }
  const std::string own_;
  size_t seen_ = 0;  // of it
};

// Not any regular file: it is written to.
bool is_psi(int fd, const struct stat& info) {
  struct statfs system;
  return S_ISREG(info.st_mode) && fstatfs(fd, &system) == 0 &&
         (system.f_type == CGROUP2_SUPER_MAGIC || system.f_type == PROC_SUPER_MAGIC);
}

Status connect_to(const char* path, Fd& out) {
  out.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!out) return Status::last("socket");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  if (connect(out.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Status::last("connect");
  }
  return Status::success();
}

Status write_all(int fd, std::string_view data) {
  if (data.empty()) return Status::success();
  ssize_t n = send(fd, data.data(), data.size(), MSG_NOSIGNAL);
  if (n < 0 && errno == ENOTSOCK) n = ::write(fd, data.data(), data.size());
  if (n < 0) return Status::last("write");
  return Status::of(static_cast<size_t>(n) == data.size() ? 0 : -EAGAIN, "write");
}

}  // namespace

Status service_pressure(Channel& channel, uint32_t target, const ServicePressure& from,
                        LockedPtr<Subscription>& out) {
  // Looked at before it is opened for reading and writing, which may mean something to a device.
  Fd seen(open(from.path.c_str(), O_PATH | O_CLOEXEC));
  if (!seen) return Status::last("open");
  struct stat info;
  if (fstat(seen.get(), &info) != 0) return Status::last("fstat");
  char again[32];
  snprintf(again, sizeof again, "/proc/self/fd/%d", seen.get());

  Fd fd;
  if (S_ISSOCK(info.st_mode)) {
    Status status = connect_to(again, fd);
    if (status.ok()) status = write_all(fd.get(), from.data);
    if (status.ok()) out = make_apart<InboxWatch>(status, channel, target, std::move(fd), "");
    return status;
  }
  bool fifo = S_ISFIFO(info.st_mode);
  if (!fifo && (from.stall_us == 0 || !is_psi(seen.get(), info))) {
    return code::fail(code::kPressureWatch);
  }
  // A FIFO for writing too: else the end of its last writer could be read for ever.
  fd.reset(open(again, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (!fd) return Status::last("open");
  if (fifo) {
    Status status = write_all(fd.get(), from.data);
    if (status.ok()) {
      out = make_apart<InboxWatch>(status, channel, target, std::move(fd), from.data);
    }
    return status;
  }
  Status status;
  auto psi = make_apart<PsiWatch>(status, channel, target, from.full);
  if (psi) status = psi->arm(std::move(fd), from.data, from.stall_us);
  if (status.ok()) out = std::move(psi);
  return status;
}

}  // namespace oom
