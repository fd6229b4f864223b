// `npm run bench [-- NAME…]`: compiles bench/ to build/bench/ and runs all measurements or those named,
// each in a process of its own, one after the other. They use the package as its users do: dist/.
// Exits with 0 whatever was measured; with 1 only when one could not be carried out.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fail, must, root } from './run.mjs'

const all = readdirSync(join(root, 'bench'))
  .filter(name => name.endsWith('.ts'))
  .map(name => name.slice(0, -'.ts'.length))
  .sort()
const wanted = process.argv.slice(2)
const unknown = wanted.find(name => !all.includes(name))
if (unknown) fail(`no such measurement: ${unknown} (there are: ${all.join(', ')})`)

await must(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'bench', '--noCheck'])
for (const name of wanted.length > 0 ? wanted : all) {
  const program = join(root, 'build/bench/bench', `${name}.js`)
  const { status } = spawnSync(process.execPath, ['--expose-gc', program], {
    cwd: root,
    stdio: 'inherit',
  })
  if (status !== 0) process.exitCode = 1
}
