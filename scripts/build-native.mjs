// The native part from scratch, with node-gyp. Not as a command in package.json: Yarn gives each package whose
// scripts have that name in them, whatever they are for, node-gyp and all that it needs.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { root } from './run.mjs'

const gyp = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js')
const { status } = spawnSync(process.execPath, [gyp, 'rebuild'], { cwd: root, stdio: 'inherit' })
process.exitCode = status ?? 1
