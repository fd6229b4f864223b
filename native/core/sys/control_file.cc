#include "core/sys/control_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>

#include "core/sys/fd.h"
#include "core/sys/field_file.h"
#include "core/sys/parse.h"
#include "core/sys/small_file.h"

namespace oom::control {

Status read(int dir, const char* name, char* buf, size_t size, std::string_view& text) {
  int opened = sys::open_at(dir, name, O_RDONLY);
  if (opened < 0) return Status::of(opened, "open", name);
  Fd fd(opened);
  ssize_t n = sys::read_small(fd.get(), buf, size);
  if (n < 0) return Status::of(static_cast<int>(n), "read", name);
  text = {buf, static_cast<size_t>(n)};
  return Status::success();
}

template <class Out>
Status fields(int dir, const char* name, Out& out) {
  Fd fd(sys::open_at(dir, name, O_RDONLY));
  if (!fd) return Status::of(fd.release(), "open", name);
  return Status::of(read_fields(fd.get(), out), "read", name);
}

template Status fields(int dir, const char* name, parse::MemoryEvents& out);
template Status fields(int dir, const char* name, parse::OomControl& out);
template Status fields(int dir, const char* name, parse::CgroupEvents& out);

Status read_number(int dir, const char* name, uint64_t& out) {
  char buf[64];
  std::string_view text;
  if (Status s = read(dir, name, buf, sizeof buf, text); !s.ok()) return s;
  if (int err = parse::limit(text, out)) return Status::of(err, "read", name);
  return Status::success();
}

Status write(int dir, const char* name, std::string_view text) {
  int opened = sys::open_at(dir, name, O_WRONLY);
  if (opened < 0) return Status::of(opened, "open", name);
  Fd fd(opened);
  if (int err = sys::write_small(fd.get(), text)) return Status::of(err, "write", name);
  return Status::success();
}

Status write_number(int dir, const char* name, uint64_t value) {
  char text[24];
  char* end = std::to_chars(text, text + sizeof text, value).ptr;
  return write(dir, name, {text, static_cast<size_t>(end - text)});
}

Status lists(int dir, const char* name, std::string_view word, bool& out) {
  char buf[512];
  std::string_view text;
  if (Status s = read(dir, name, buf, sizeof buf, text); !s.ok()) return s;
  out = parse::lists(text, word);
  return Status::success();
}

bool has(int dir, const char* name) { return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0; }

}  // namespace oom::control
