// Runs a piece of JavaScript in a process of its own, as a user's would run: the built package, no
// test loader, no inherited options. For whatever ends, locks or limits a whole process.
import { execFile, type ExecFileException } from 'node:child_process'
import { join } from 'node:path'
import { bareEnv } from './bare-env.js'

const dist = join(process.cwd(), 'dist/commonjs/lib')

const PRELUDE = `
'use strict'
const assert = require('node:assert')
const { readFileSync } = require('node:fs')
const { Worker } = require('node:worker_threads')
const DIST = ${JSON.stringify(dist)}
const oom = { ...require(DIST + '/index.js'), ...require(DIST + '/primitives.js') }
const kB = name => Number(new RegExp(name + ':\\\\s+(\\\\d+)').exec(readFileSync('/proc/self/status', 'utf8'))[1])
`

export interface ScriptOptions {
  /** The Node.js to run it with. */
  node?: string
  /** Runs as the user nobody, without capabilities, once everything is loaded, under this RLIMIT_MEMLOCK. */
  memlock?: number
}

export interface ScriptResult {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export function script(
  code: string,
  { node = process.execPath, memlock }: ScriptOptions = {},
): Promise<ScriptResult> {
  // The addon is loaded, while it can still be read, by whatever asks it first.
  const drop =
    memlock === undefined
      ? ''
      : `void oom.probe().then(() => { process.setgroups([]); process.setgid(65534); process.setuid(65534) }).then(main)`
  const text = `${PRELUDE}\nasync function main() {\n${code}\n}\n${drop || 'void main()'}\n`
  const args = bareEnv()
  if (memlock !== undefined) args.push('prlimit', `--memlock=${memlock}:${memlock}`)
  args.push(node, '-e', text)
  return new Promise(resolve => {
    execFile('env', args, (error: ExecFileException | null, stdout, stderr) => {
      resolve({
        code: error ? (typeof error.code === 'number' ? error.code : null) : 0,
        signal: error?.signal ?? null,
        stdout,
        stderr,
      })
    })
  })
}

/** What a script that went well gives. */
export const CLEAN = { code: 0, signal: null, stderr: '' }
