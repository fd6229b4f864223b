// One target of the package, tried with the real kernel: each check prints a line "NAME ok" or
// "NAME FAILED: why". Run by scripts/targets.mjs under the runtime and the C library of the target:
// target.mjs PACKAGE PREBUILDS CHECK…
import assert from 'node:assert'
import { spawn as nodeSpawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [directory, expected, ...names] = process.argv.slice(2)
const dist = name => import(pathToFileURL(join(directory, 'dist/esm/lib', `${name}.js`)).href)

const lib = await dist('index')
const { simulate } = await dist('testing')
const { nativeFile, tryBinding } = await dist('native/load')

// As the test helpers call theirs: a sweep of what a crash has left finds these, too.
const GROUP = `cgroup-oom-test-${process.pid}`

const checks = {
  async load() {
    assert.equal(nativeFile('cgroup_oom.node'), join(expected, 'cgroup_oom.node'))
    const binding = tryBinding()
    if (binding instanceof Error) throw binding
    const { addon, guardian } = await lib.probe()
    assert.ok(addon.available, addon.reason)
    assert.ok(guardian.available, guardian.reason)
  },

  async simulation() {
    const group = simulate({ max: '64M' })
    const guard = await group.guard({ delayMs: 100 })
    group.spawn()
    group.allocate('128M')
    await group.advance(50)
    const { value: episode } = await guard[Symbol.asyncIterator]().next()
    await episode.raiseLimit({ by: '128M' })
    await group.advance(60)
    assert.equal((await episode.ended).outcome, 'limit-raised')
    await guard.dispose()
  },

  lock() {
    const { bytes } = lib.lockMemory()
    assert.ok(bytes > 0)
  },

  lockProcess() {
    lib.lockMemory({ scope: 'process' })
  },

  reserve() {
    const reserve = new lib.MemoryReserve('2M')
    reserve.release()
    reserve.refill()
  },

  // A job fills its group, waits, and is killed at the end of the delay; then with its guardian there.
  async guard() {
    const group = await lib.MemoryGroup.create(GROUP, { max: '32M' })
    try {
      // Emulated, this process may be late by more than the guardian waits for as a rule.
      const guard = await group.guard({ delayMs: 300, guardian: { graceMs: 3000 } })
      // On v1 only what a program itself touches waits; a system call fails, which busybox's tail does not mind.
      const touch = "exec awk 'BEGIN { for (s = 1; ; ) s = s s }'"
      const fill = group.version === 1 ? touch : 'exec tail /dev/zero'
      const job = nodeSpawn('sh', ['-c', `read go; ${fill}`])
      const exited = once(job, 'exit')
      await group.add(job.pid)
      job.stdin.end('go\n')
      const { value: episode } = await guard[Symbol.asyncIterator]().next()
      const began = Date.now()
      const { outcome } = await episode.ended
      assert.equal(outcome, 'fallback')
      assert.ok(Date.now() - began < 5000)
      assert.equal((await exited)[1], 'SIGKILL')
      await guard.dispose()
    } finally {
      await group.remove({ kill: true })
    }
  },

  // The launcher, as other spawners use it.
  async launcher() {
    const group = await lib.MemoryGroup.create(GROUP, { max: '32M' })
    try {
      const { command, args } = lib.groupOptions(group)
      const job = nodeSpawn(command, [...args, 'cat', '/proc/self/cgroup'])
      let text = ''
      job.stdout.on('data', data => (text += String(data)))
      await once(job, 'close')
      assert.match(text, new RegExp(GROUP))
    } finally {
      await group.remove({ kill: true })
    }
  },

  async spawn() {
    const group = await lib.MemoryGroup.create(GROUP, { max: '32M' })
    try {
      const child = lib.spawn('sh', ['-c', 'exit 3'], { group, stdio: 'ignore' })
      assert.deepEqual((await once(child, 'exit'))[0], 3)
    } finally {
      await group.remove({ kill: true })
    }
  },
}

for (const name of names) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('no end within 20 s')), 20_000)
  })
  try {
    await Promise.race([checks[name](), late])
    console.log(`${name} ok`)
  } catch (error) {
    console.log(`${name} FAILED: ${String(error.message ?? error).split('\n')[0]}`)
  } finally {
    clearTimeout(timer)
  }
}
process.exit(0)
