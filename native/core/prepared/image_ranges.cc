#include "core/prepared/image_ranges.h"

#include <fcntl.h>
#include <link.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/sys/fd.h"
#include "core/sys/small_file.h"

namespace oom {

Range pages_of(const void* address, size_t length) {
  const uintptr_t mask = page_size() - 1;
  const auto begin = reinterpret_cast<uintptr_t>(address);
  return {begin & ~mask, (begin + length + mask) & ~mask};
}

namespace {

bool is_libc(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  return name.starts_with("libc.so") || name.starts_with("libc-") || name.starts_with("ld-") ||
         name.starts_with("libc.musl") || name.starts_with("libpthread");
}

struct Walk {
  Images which;
  std::vector<Range>* out;
};

int each_image(dl_phdr_info* info, size_t, void* data) {
  const auto& walk = *static_cast<Walk*>(data);
  const auto here = reinterpret_cast<uintptr_t>(&each_image);
  const size_t before = walk.out->size();
  bool ours = walk.which == Images::kAll || (info->dlpi_name && is_libc(info->dlpi_name));
  for (size_t i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD || header.p_memsz == 0 || !(header.p_flags & PF_R)) continue;
    const uintptr_t begin = info->dlpi_addr + header.p_vaddr;
    ours |= here >= begin && here < begin + header.p_memsz;
    walk.out->push_back(pages_of(reinterpret_cast<void*>(begin), header.p_memsz));
  }
  // The kernel's vdso has no name of a file, is always resident and belongs to no budget.
  if (!ours || (info->dlpi_name && std::string_view(info->dlpi_name).starts_with("linux-vdso"))) {
    walk.out->resize(before);
  }
  return 0;
}

bool hex(std::string_view& text, uintptr_t& out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, 16);
  if (error != std::errc() || end == text.data()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

std::vector<Range> merge(std::vector<Range> all) {
  std::sort(all.begin(), all.end(),
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
  std::vector<Range> merged;
  for (const Range& range : all) {
    if (!merged.empty() && range.begin <= merged.back().end) {
      merged.back().end = std::max(merged.back().end, range.end);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

}  // namespace

std::vector<Range> image_ranges(Images which) {
  std::vector<Range> all;
  Walk walk{which, &all};
  dl_iterate_phdr(each_image, &walk);
  return merge(std::move(all));
}

bool maps_line(std::string_view line, MapsLine& out) {
  Range range;
  if (!hex(line, range.begin) || !line.starts_with('-')) return false;
  line.remove_prefix(1);
  if (!hex(line, range.end) || !line.starts_with(' ') || range.end <= range.begin) return false;
  line.remove_prefix(1);
  const bool executable = line.size() > 2 && line[2] == 'x';
  const bool accessible = !line.starts_with("---");
  // "perms offset dev inode", then the name, padded.
  for (int field = 0; field < 4; field++) {
    const size_t start = line.find_first_not_of(' ');
    if (start == line.npos) return false;
    line.remove_prefix(std::min(line.find(' ', start), line.size()));
  }
  const size_t start = line.find_first_not_of(' ');
  const std::string_view name = start == line.npos ? std::string_view() : line.substr(start);
  out = {range, accessible && name == "[heap]", name == "[stack]",
         executable && name.starts_with('/')};
  return true;
}

std::vector<Range> process_ranges(Stack stack) {
  std::vector<Range> found = image_ranges(Images::kAll);
  Fd fd(sys::open_at(AT_FDCWD, "/proc/self/maps", O_RDONLY));
  if (!fd) return merge(std::move(found));
  char buffer[8192];
  size_t used = 0;
  for (;;) {
    const ssize_t n = read(fd.get(), buffer + used, sizeof buffer - used);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return merge(std::move(found));
    used += static_cast<size_t>(n);
    std::string_view text(buffer, used);
    for (size_t end; (end = text.find('\n')) != text.npos; text.remove_prefix(end + 1)) {
      MapsLine line;
      if (!maps_line(text.substr(0, end), line)) continue;
      if (!line.heap && !line.stack && !line.program) continue;
      if (line.stack && stack == Stack::kToLock) line.range.begin += page_size();
      if (line.range.size() > 0) found.push_back(line.range);
    }
    // A line has at most PATH_MAX and a bit: it fits. One that did not would be skipped.
    if (text.size() == sizeof buffer) text = {};
    std::copy(text.begin(), text.end(), buffer);
    used = text.size();
  }
}

}  // namespace oom
