// Opens a directory without following a symbolic link anywhere on the way: a path that is crafted,
// or changed while it is resolved, leads to the directory that it spells or to an error.
//
// openat2(2) with RESOLVE_NO_SYMLINKS (5.6); older kernels, and container runtimes that answer
// EPERM to system calls they do not know: component by component with O_NOFOLLOW. Any thread.
#pragma once

namespace oom::resolve {

// `path` relative to `base` (AT_FDCWD: absolute) and without ".." components: an fd fit for reading
// entries and for openat(2), or a negative errno. A link gives ELOOP or ENOTDIR, ".." EXDEV.
int open_directory(int base, const char* path);

// What open_directory does where there is no openat2.
int open_by_component(int base, const char* path);

}  // namespace oom::resolve
