#include "core/sys/parse.h"

#include <charconv>
#include <iterator>
#include <utility>

#include "core/sys/units.h"

namespace oom::parse {

namespace {

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// A whole view as a number of type T: from_chars knows neither spaces nor '+', which is wanted.
template <class T>
int number(std::string_view text, T& out) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) return -ERANGE;
  if (error != std::errc{} || end != text.data() + text.size()) return -EINVAL;
  out = value;
  return 0;
}

std::string_view without_newline(std::string_view text) {
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text;
}

// Cuts the next field off, up to the separator or the end; false when nothing is left.
bool next_field(std::string_view& text, char separator, std::string_view& field) {
  if (text.empty()) return false;
  size_t at = text.find(separator);
  field = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return true;
}

// The "total=" of one PSI line.
int psi_total(std::string_view line, uint64_t& out) {
  constexpr std::string_view kKey = " total=";
  size_t at = line.rfind(kKey);
  if (at == std::string_view::npos) return -EINVAL;
  return number(line.substr(at + kKey.size()), out);
}

}  // namespace

bool next_line(std::string_view& text, std::string_view& line) {
  return next_field(text, '\n', line);
}

bool has_word(std::string_view list, std::string_view word) {
  std::string_view field;
  while (next_field(list, ',', field)) {
    if (field == word) return true;
  }
  return false;
}

bool lists(std::string_view text, std::string_view word) {
  text = without_newline(text);
  std::string_view field;
  while (next_field(text, ' ', field)) {
    if (field == word) return true;
  }
  return false;
}

int u64(std::string_view text, uint64_t& out) { return number(without_newline(text), out); }

int limit(std::string_view text, uint64_t& out) {
  if (without_newline(text) != "max") return u64(text, out);
  out = kUnlimited;
  return 0;
}

int key_value(std::string_view text, std::string_view key, uint64_t& out) {
  std::string_view line;
  while (next_line(text, line)) {
    if (line.size() > key.size() && starts_with(line, key) && line[key.size()] == ' ') {
      return number(line.substr(key.size() + 1), out);
    }
  }
  return -ENOENT;
}

int FieldLines::feed(std::string_view piece) {
  while (!piece.empty()) {
    size_t end = piece.find('\n');
    std::string_view part = piece.substr(0, end);
    bool whole = end != std::string_view::npos;
    piece.remove_prefix(whole ? end + 1 : piece.size());
    if (whole && used_ == 0 && !too_long_) {
      if (int err = line(part)) return err;
      continue;
    }
    too_long_ |= part.size() > kLongest - used_;
    used_ += part.copy(rest_ + used_, kLongest - used_);
    if (!whole) continue;
    if (int err = finish()) return err;
  }
  return 0;
}

int FieldLines::finish() {
  size_t used = std::exchange(used_, 0);
  return line({rest_, used}, std::exchange(too_long_, false));
}

// `cut`: the rest of the line did not fit, so only its key is known.
int FieldLines::line(std::string_view text, bool cut) {
  size_t space = text.find(' ');
  if (space == std::string_view::npos) return 0;
  for (size_t i = 0; i < count_; i++) {
    Field& field = fields_[i];
    if (field.value || field.key != text.substr(0, space)) continue;
    uint64_t value = 0;
    // The same whether it came in one piece or in two.
    if (cut || text.size() > kLongest) return -EINVAL;
    if (int err = number(text.substr(space + 1), value)) return err;
    field.value = value;
    break;
  }
  return 0;
}

int fields(std::string_view text, Field* fields, size_t count) {
  FieldLines lines(fields, count);
  int err = lines.feed(text);
  return err == 0 ? lines.finish() : err;
}

int oom_control(std::string_view text, OomControl& out) {
  OomControlFields file;
  int err = fields(text, file.list, std::size(file.list));
  return err == 0 ? file.get(out) : err;
}

int OomControlFields::get(OomControl& out) const {
  const auto& [disabled, under, kills] = list;
  if (!disabled.value && !under.value) return -EINVAL;  // not this file at all
  out = {};
  if (disabled.value) out.oom_kill_disable = *disabled.value != 0;
  if (under.value) out.under_oom = *under.value != 0;
  out.oom_kill = kills.value;
  return 0;
}

int memory_events(std::string_view text, MemoryEvents& out) {
  MemoryEventsFields file;
  int err = fields(text, file.list, std::size(file.list));
  return err == 0 ? file.get(out) : err;
}

int MemoryEventsFields::get(MemoryEvents& out) const {
  const auto& [high, max, oom, oom_kill, oom_group_kill] = list;
  if (!oom.value) return -EINVAL;  // not this file at all
  out = {high.value, max.value, oom.value, oom_kill.value, oom_group_kill.value};
  return 0;
}

int cgroup_events(std::string_view text, CgroupEvents& out) {
  CgroupEventsFields file;
  int err = fields(text, file.list, std::size(file.list));
  return err == 0 ? file.get(out) : err;
}

int CgroupEventsFields::get(CgroupEvents& out) const {
  const auto& [populated, frozen] = list;
  if (!populated.value) return -EINVAL;
  out = {*populated.value != 0, {}};
  if (frozen.value) out.frozen = *frozen.value != 0;
  return 0;
}

int statm(std::string_view text, Statm& out) {
  std::string_view rest = without_newline(text), field;
  // size resident shared text lib data dirty
  uint64_t fields[6] = {};
  for (uint64_t& value : fields) {
    if (!next_field(rest, ' ', field)) return -EINVAL;
    if (int err = number(field, value)) return err;
  }
  out = {.size = fields[0], .resident = fields[1], .text = fields[3], .data = fields[5]};
  return 0;
}

int proc_stat(std::string_view text, ProcStat& out) {
  size_t open = text.find(" ("), close = text.rfind(") ");
  if (open == std::string_view::npos || close == std::string_view::npos || close <= open) {
    return -EINVAL;
  }
  ProcStat stat{};
  if (int err = number(text.substr(0, open), stat.pid)) return err;
  std::string_view rest = without_newline(text.substr(close + 2)), field;
  if (!next_field(rest, ' ', field) || field.size() != 1) return -EINVAL;
  stat.state = field[0];
  if (!next_field(rest, ' ', field)) return -EINVAL;
  if (int err = number(field, stat.ppid)) return err;
  // proc_pid_stat(5) counts its fields from 1: flags are the 9th, the time of the start the 22nd.
  for (int at = 5; at <= 22; at++) {
    if (!next_field(rest, ' ', field)) return -EINVAL;
    if (at == 9 && number(field, stat.flags) != 0) return -EINVAL;
    if (at == 22 && number(field, stat.start) != 0) return -EINVAL;
  }
  out = stat;
  return 0;
}

int oom_score_adj(std::string_view text, int& out) {
  int value = 0;
  if (int err = number(without_newline(text), value)) return err;
  if (value < -1000 || value > 1000) return -ERANGE;
  out = value;
  return 0;
}

int psi_totals(std::string_view text, PsiTotals& out) {
  PsiTotals totals{};
  bool some = false;
  std::string_view line;
  while (next_line(text, line)) {
    uint64_t total = 0;
    if (starts_with(line, "some ")) {
      if (int err = psi_total(line, total)) return err;
      totals.some = total;
      some = true;
    } else if (starts_with(line, "full ")) {
      if (int err = psi_total(line, total)) return err;
      totals.full = total;
    }
  }
  if (!some) return -EINVAL;
  out = totals;
  return 0;
}

int cgroup_line(std::string_view line, CgroupLine& out) {
  size_t first = line.find(':');
  if (first == std::string_view::npos) return -EINVAL;
  // A named hierarchy ("name=a:b") may have colons of its own, the path begins with the first ":/".
  size_t second = line.find(":/", first + 1);
  if (second == std::string_view::npos) return -EINVAL;
  uint32_t id = 0;
  if (int err = number(line.substr(0, first), id)) return err;
  out = {line.substr(first + 1, second - first - 1), line.substr(second + 1)};
  return 0;
}

int cgroup_path(std::string_view text, std::string_view controller, std::string_view& out) {
  std::string_view line;
  while (next_line(text, line)) {
    CgroupLine parsed;
    if (int err = cgroup_line(line, parsed)) return err;
    if (controller.empty() ? parsed.controllers.empty()
                           : has_word(parsed.controllers, controller)) {
      out = parsed.path;
      return 0;
    }
  }
  return -ENOENT;
}

int mount_line(std::string_view line, MountLine& out) {
  MountLine mount{};
  std::string_view rest = line, field;
  // id, parent, device, root, mount point, options, optional fields, "-", type, source, super
  // options
  for (int i = 0; i < 6; i++) {
    if (!next_field(rest, ' ', field)) return -EINVAL;
    if (i == 0) mount.id = field;
    if (i == 3) mount.root = field;
    if (i == 4) mount.mount_point = field;
    if (i == 5) mount.options = field;
  }
  do {
    if (!next_field(rest, ' ', field)) return -EINVAL;
  } while (field != "-");
  std::string_view source;
  if (!next_field(rest, ' ', mount.type) || !next_field(rest, ' ', source)) return -EINVAL;
  mount.super_options = rest;
  if (!starts_with(mount.mount_point, "/") || mount.root.empty()) return -EINVAL;
  out = mount;
  return 0;
}

ssize_t unescape(std::string_view text, char* out, size_t capacity) {
  size_t used = 0;
  for (size_t i = 0; i < text.size(); i++) {
    if (used == capacity) return -ENAMETOOLONG;
    char c = text[i];
    auto octal = [&](size_t at, char last) {
      return at < text.size() && text[at] >= '0' && text[at] <= last;
    };
    if (c == '\\' && octal(i + 1, '3') && octal(i + 2, '7') && octal(i + 3, '7')) {
      c = static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
      i += 3;
    }
    out[used++] = c;
  }
  return static_cast<ssize_t>(used);
}

int freezer_state(std::string_view text, FreezerState& out) {
  text = without_newline(text);
  if (text == "THAWED") {
    out = FreezerState::kThawed;
  } else if (text == "FREEZING") {
    out = FreezerState::kFreezing;
  } else if (text == "FROZEN") {
    out = FreezerState::kFrozen;
  } else {
    return -EINVAL;
  }
  return 0;
}

}  // namespace oom::parse
