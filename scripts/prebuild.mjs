// Before packing: puts the native files for every target (scripts/targets/) into prebuilds/, and prints
// what each needs of the machine it runs on. With --clean, after packing: removes prebuilds/, as the
// loader would prefer it to the next build.
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fail, root } from './run.mjs'
import { needsOf } from './targets/needs.mjs'
import { builtTargets } from './targets/prebuilds.mjs'
import { toolchain } from './targets/toolchain.mjs'

const prebuilds = join(root, 'prebuilds')

rmSync(prebuilds, { recursive: true, force: true })
if (!process.argv.includes('--clean')) {
  try {
    const chain = await toolchain()
    const built = await builtTargets(chain)
    // npm gives the tarball's name on stdout, for scripts.
    console.error((await needsOf(chain, built)).join('\n'))
    cpSync(built, prebuilds, { recursive: true })
  } catch (error) {
    fail(error.message)
  }
}
