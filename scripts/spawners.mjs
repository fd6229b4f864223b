// Other spawners with groupOptions(): execa, tinypool, jest-worker and node-pty from the npm registry, bwrap from
// Debian's archive, all into .cache/spawners; then test/kernel/spawn/spawners.ts. Not part of `npm test`: it
// downloads. `npm run test:spawners`
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fail, root } from './run.mjs'

const cache = join(root, '.cache/spawners')
const PACKAGES = ['execa@9', 'tinypool@2', 'jest-worker@30', 'node-pty@1']

const run = (command, args, options = {}) =>
  spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'], ...options }).status === 0

mkdirSync(cache, { recursive: true })
const missing = PACKAGES.filter(
  name => !existsSync(join(cache, 'node_modules', name.split('@')[0])),
)
if (missing.length > 0) {
  console.error(`spawners: fetching ${missing.join(', ')} …`)
  const options = ['--prefix', cache, '--no-save', '--no-audit', '--no-fund']
  if (!run('npm', ['install', ...options, ...PACKAGES])) fail('they could not be fetched')
}
if (!existsSync(join(cache, 'usr/bin/bwrap')) && !run('sh', ['-c', 'command -v bwrap'])) {
  console.error('spawners: fetching bubblewrap …')
  const fetched = run('apt-get', ['download', '-q', 'bubblewrap'], { cwd: cache })
  const file = fetched && readdirSync(cache).find(name => /^bubblewrap_.*\.deb$/.test(name))
  // Where there is no such archive its test is skipped.
  if (file) run('dpkg-deb', ['-x', join(cache, file), cache])
}
const { status } = spawnSync(
  process.execPath,
  [join(root, 'scripts/test.mjs'), 'test/kernel/spawn/spawners.ts', ...process.argv.slice(2)],
  { cwd: root, stdio: 'inherit' },
)
process.exitCode = status ?? 1
