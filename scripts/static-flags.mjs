// Prints the linker flags for the small programs of binding.gyp: fully static where the compiler
// finds a static C library (Debian's libc6-dev has it, Fedora's glibc-devel has not), else with
// GCC's own runtime inside.
import { spawnSync } from 'node:child_process'

const cxx = (process.env.CXX ?? 'c++').split(' ')
const { status } = spawnSync(
  cxx[0],
  [...cxx.slice(1), '-x', 'c++', '-static', '-o', '/dev/null', '-'],
  { input: 'int main() { return 0; }', stdio: ['pipe', 'ignore', 'ignore'] },
)
console.log(status === 0 ? '-static' : '-static-libgcc -static-libstdc++')
