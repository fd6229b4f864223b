// clang-format over all native code and clang-tidy over the core (through the compile_commands.json
// of `cmake --preset debug`). --quick leaves clang-tidy's static analyzer out, which takes six sevenths
// of the time. --fix: clang-format in place, nothing else.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fail, files, inParallel, must, root, run } from './run.mjs'

const sources = ['native', 'test/native', 'lab', 'bench/native', 'scripts'].flatMap(dir =>
  files(dir, ['.cc', '.h', '.c']),
)

// Versions format differently; Debian 12's is the one that counts.
const versioned = await run('clang-format-14', ['--version'])
const clangFormat = versioned.ok ? 'clang-format-14' : 'clang-format'

if (process.argv.includes('--fix')) {
  await must(clangFormat, ['-i', ...sources])
} else {
  await must(clangFormat, ['--dry-run', '-Werror', ...sources])
  console.log(`${clangFormat}: ${sources.length} files`)
  await tidy()
}

async function tidy() {
  const commands = 'build-cmake/debug'
  if (!existsSync(join(root, commands, 'compile_commands.json'))) {
    fail(`no ${commands}/compile_commands.json: run cmake --preset debug`)
  }
  const { variables } = JSON.parse(readFileSync(join(root, 'native/sources.gypi'), 'utf8'))
  let failed = 0
  const checks = process.argv.includes('--quick') ? ['--checks=-clang-analyzer-*'] : []
  const core = [...variables.shared_sources, ...variables.core_sources]
  await inParallel(core, async file => {
    const { ok, output } = await run('clang-tidy', ['-p', commands, '--quiet', ...checks, file])
    if (ok) return
    failed++
    console.log(output)
  })
  if (failed) fail(`clang-tidy: ${failed} of ${core.length} files have findings`)
  console.log(`clang-tidy: ${core.length} files`)
}
