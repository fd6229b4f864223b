// TypeScript to dist/ with tshy. tshy knows one source directory, ./src, and does not follow
// links, while this package's sources are lib/ and types/: so src/ is a copy, made again each time.
import { spawnSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const src = join(root, 'src')
rmSync(src, { recursive: true, force: true })
for (const name of ['lib', 'types']) cpSync(join(root, name), join(src, name), { recursive: true })
try {
  const tshy = createRequire(import.meta.url).resolve('tshy/package.json')
  const { status } = spawnSync(process.execPath, [join(dirname(tshy), 'dist/esm/bin-min.mjs')], {
    cwd: root,
    stdio: 'inherit',
  })
  process.exitCode = status ?? 1
} finally {
  rmSync(src, { recursive: true, force: true })
}
