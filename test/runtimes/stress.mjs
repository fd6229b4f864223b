// What made a bare mlockall() abort Node.js, all of it, under one kind of lock: workers that come and
// go, WebAssembly, functions compiled and thrown away, garbage collection, and a natural end.
import assert from 'node:assert'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'

const dist = name => new URL(`../../dist/esm/lib/${name}.js`, import.meta.url).href
const { lockMemory, MemoryReserve } = await import(dist('index'))
const { EventFd, PidFd } = await import(dist('primitives'))
const { WebAssembly } = globalThis

const scenario = process.argv[2]
setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc')

const scenarios = {
  none: () => {},
  'oom-path': () => lockMemory(),
  process: () => lockMemory({ scope: 'process' }),
  reserve: () => {
    const reserve = new MemoryReserve('16M')
    reserve.release()
    reserve.refill()
  },
  primitives: () => {
    new EventFd().unref().read()
    PidFd.open(process.ppid)
      .unref()
      .exited.catch(() => {})
  },
}
scenarios[scenario]()

// (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
const WASM = Buffer.from(
  '0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b',
  'hex',
)

/** Hot functions, optimized and dropped: code pages come and go. */
function churn(rounds) {
  for (let round = 0; round < rounds; round++) {
    const one = new Function(
      'n',
      `let s = ${round}; for (let i = 0; i < n; i++) s = (s * 31 + i) | 0; return s`,
    )
    for (let i = 0; i < 40; i++) one(500)
    if (round % 50 === 0) gc()
  }
}

/** Garbage that reaches the old space, then goes. */
function litter() {
  const keep = []
  for (let i = 0; i < 3e5; i++) keep.push({ i, text: `x${i}` })
  keep.length = 0
  gc()
}

function worker(code) {
  return new Promise((resolve, reject) => {
    const thread = new Worker(code, { eval: true })
    thread.once('error', reject)
    thread.once('exit', resolve)
    if (code.includes('for (;;)')) thread.once('online', () => void thread.terminate())
  })
}

async function main() {
  const { instance } = await WebAssembly.instantiate(WASM)
  assert.equal(instance.exports.add(2, 3), 5)
  for (let round = 0; round < 3; round++) {
    churn(100)
    litter()
    await Promise.all([
      worker('let a = []; for (let i = 0; i < 2e5; i++) a.push({ i })'),
      worker(`import(${JSON.stringify(dist('index'))}).then(({ lockMemory }) => lockMemory())`),
      worker('for (;;) {}'),
    ])
    const module = await WebAssembly.compile(WASM)
    assert.equal((await WebAssembly.instantiate(module)).exports.add(round, 1), round + 1)
  }
  litter()
  console.log('done')
}

void main()
