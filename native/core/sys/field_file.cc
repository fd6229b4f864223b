#include "core/sys/field_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>

#include "core/sys/fd.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

constexpr size_t kPage = 4096;

template <class Fields, class Out>
int read_as(int fd, Out& out) {
  Fields file;
  int err = read_fields(fd, file.list, std::size(file.list));
  return err == 0 ? file.get(out) : err;
}

}  // namespace

int read_fields(int fd, parse::Field* fields, size_t count) {
  char text[kPage];
  parse::FieldLines lines(fields, count);
  for (off_t at = 0;;) {
    ssize_t n = pread(fd, text, sizeof text, at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    if (int err = lines.feed({text, static_cast<size_t>(n)})) return err;
    at += n;
    // The kernel's files give all that there is up to a page: no second read asks for the end.
    if (static_cast<size_t>(n) < sizeof text) return lines.finish();
  }
}

int read_fields(int fd, parse::MemoryEvents& out) {
  return read_as<parse::MemoryEventsFields>(fd, out);
}

int read_fields(int fd, parse::OomControl& out) {
  return read_as<parse::OomControlFields>(fd, out);
}

int read_fields(int fd, parse::CgroupEvents& out) {
  return read_as<parse::CgroupEventsFields>(fd, out);
}

int read_field(int fd, const char* key, uint64_t& out) {
  parse::Field field{key};
  int err = read_fields(fd, &field, 1);
  if (err == 0) out = field.value.value_or(0);
  return err;
}

template <class Out>
int read_fields_at(int dir, const char* name, Out& out) {
  Fd fd(sys::open_at(dir, name, O_RDONLY));
  return fd ? read_fields(fd.get(), out) : fd.get();
}

template int read_fields_at(int dir, const char* name, parse::MemoryEvents& out);
template int read_fields_at(int dir, const char* name, parse::OomControl& out);
template int read_fields_at(int dir, const char* name, parse::CgroupEvents& out);

}  // namespace oom
