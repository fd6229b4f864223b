// Inside the booted machine: runs test files, some at once, and prints one line of JSON for each
// when it has ended: { file, status, seconds, output }. node guest.mjs JOBS SECONDS FILE…
import { spawn } from 'node:child_process'
import { writeSync } from 'node:fs'

const [jobs, seconds, ...files] = process.argv.slice(2)

function runFile(file) {
  const began = Date.now()
  return new Promise(resolve => {
    const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', text => (output += text))
    const limit = setTimeout(
      () => {
        output += `\nended after ${seconds} s\n`
        child.kill('SIGKILL')
      },
      Number(seconds) * 1000,
    )
    // Not "close": what a killed test has left may hold the pipes.
    child.on('exit', (code, signal) => {
      clearTimeout(limit)
      setTimeout(() => {
        const status = signal ?? code
        resolve({ file, status, seconds: (Date.now() - began) / 1000, output })
      }, 50)
    })
  })
}

function print(line) {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`)
  for (let at = 0; at < bytes.length;) at += writeSync(1, bytes, at)
}

async function worker() {
  for (let file; (file = files.shift()) !== undefined;) print(await runFile(file))
}
await Promise.all(Array.from({ length: Number(jobs) }, worker))
process.exit(0)
