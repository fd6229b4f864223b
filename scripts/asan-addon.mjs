// `npm run test:asan-addon [-- TEST…]`: the addon, built with AddressSanitizer and UndefinedBehaviorSanitizer,
// in Node.js: a selection of the kernel tests, then a search for leaks. Node.js itself is not built
// with them: their runtime is loaded before it, and memory that is not freed at the end counts only if
// the addon's code has allocated it.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { hostPrebuilds } from './host.mjs'
import { fail, must, root } from './run.mjs'

// Their subjects are processes of their own (test/helpers/bare-env.ts): the test runner, which has the
// runtime not loaded, does not load the addon in these.
const SELECTION = ['faults/supervisor', 'faults/life-table']
const wanted = process.argv.slice(2)
const TESTS = (wanted.length > 0 ? wanted : SELECTION).map(name => `test/kernel/${name}.ts`)

const target = join(root, hostPrebuilds())
if (existsSync(target)) fail(`${target} is in the way: remove it`)

// The preset's tests and the addon are of the same objects.
await must('cmake', ['--preset', 'asan'])
await must('cmake', ['--build', '--preset', 'asan', '--target', 'cgroup_oom'])
const addon = join(root, 'build-cmake/asan/cgroup_oom.node')
const preload = (await must('gcc', ['-print-file-name=libasan.so'])).trim()

const environment = {
  LD_PRELOAD: preload,
  // Programs that tests start have leaks of their own.
  ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1',
  UBSAN_OPTIONS: 'print_stacktrace=1',
}

function tests() {
  const { status } = spawnSync(
    process.execPath,
    ['node_modules/.bin/tap', 'run', '--disable-coverage', '--timeout=0', '--jobs=1', ...TESTS],
    {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, OOM_CHILD_ENV: JSON.stringify(environment) },
    },
  )
  return status === 0
}

/** The leaks that have a frame of the addon. */
function leaks() {
  const { stdout, stderr, signal } = spawnSync(process.execPath, ['test/runtimes/leaks.mjs'], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, ...environment, ASAN_OPTIONS: 'detect_leaks=1' },
  })
  if (signal !== null || !stdout.endsWith('done\n')) {
    return [`the program did not come to its end: ${stdout}${stderr}`]
  }
  return stderr
    .split('\n\n')
    .filter(block => /leak of/.test(block) && block.includes('cgroup_oom.node'))
}

// The loader takes what is there first.
mkdirSync(target, { recursive: true })
try {
  copyFileSync(addon, join(target, 'cgroup_oom.node'))
  for (const name of ['oom-guardian', 'oom-launcher']) {
    copyFileSync(join(root, 'build/Release', name), join(target, name))
  }
  const ours = leaks()
  for (const leak of ours) console.error(leak)
  console.log(`leaks of the addon: ${ours.length}`)
  if (!tests() || ours.length > 0) process.exitCode = 1
} finally {
  rmSync(target, { recursive: true, force: true })
}
