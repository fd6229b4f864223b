// What else may happen to a guard: no processes to be had, the group replaced by another one of its
// name, workers that come and go with guards in them, children that must inherit nothing.
import t from 'tap'
import { execFileSync } from 'node:child_process'
import { chownSync, readdirSync, readFileSync, readlinkSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { allEnabled, allGone, overfill, rounds, recordLateness } from '../../helpers/faults.js'
import { Remote } from '../../helpers/remote.js'
import { holdByHand, isHeld, killsIn, MiB, mount, underOom } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'

t.setTimeout(rounds * 900_000)

const DELAY = 200
const q = JSON.stringify
const fdsOf = (pid: number): string[] => readdirSync(`/proc/${pid}/fd`)

t.test('RLIMIT_NPROC exhausted while arming: refused, and nothing has changed', async t => {
  // A user of its own, whose processes are counted.
  const uid = 100_000 + (process.pid % 100_000)
  const dir = scratch(t, 16 * MiB)
  const below = child(dir, 'below')
  for (const group of [dir, below]) {
    for (const file of ['', ...readdirSync(group).filter(name => name.includes('.'))]) {
      chownSync(join(group, file), uid, uid)
    }
  }
  // Before 5.16 the kernel's default for locked memory is less than a guard needs.
  const remote = await Remote.start(t, { through: ['prlimit', `--memlock=${8 * MiB}:${8 * MiB}`] })
  // libuv starts its threads with the first use, and aborts where it cannot.
  await remote.run('await Promise.all(Array.from({ length: 8 }, () => fs.promises.stat("/")))')
  await remote.run(
    `await oom.probe(); process.setgroups([]); process.setgid(${uid}); process.setuid(${uid})`,
  )
  const threads = readdirSync(`/proc/${remote.pid}/task`).length
  // As that user: root may lack CAP_SYS_RESOURCE.
  const user = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
  const limit = (count: number) =>
    execFileSync('setpriv', [...user, 'prlimit', '--pid', `${remote.pid}`, `--nproc=${count}:`])
  let refused = 0
  for (let more = 0; ; more++) {
    limit(threads + more)
    // Its threads, once started, stay: what is counted are those that are missing.
    const error = await remote.guard(dir, { delayMs: DELAY }).then(
      () => undefined,
      (e: unknown) => e as { code?: string; message: string },
    )
    if (error === undefined) break
    refused++
    t.equal(error.code, 'EAGAIN', `${more} more: ${error.message}`)
    t.notOk(isHeld(dir) || isHeld(below))
    t.strictSame(remote.household(), [remote.pid], 'no guardian is left')
    if (more > 100) throw new Error('it is never enough')
  }
  t.ok(refused >= 3, `${refused} refusals`)
  const { lived } = await overfill(t, below)
  t.notOk(await lived)
  t.match(await remote.event('ended'), { outcome: /fallback|guardian/ })
  // Armed, and then no process may be started any more: a guardian cannot be replaced.
  limit(1)
  const guardian = await remote.run<number>('return binding().guardianPid()')
  process.kill(guardian, 'SIGKILL')
  t.equal(await remote.event('failed'), 'ERR_GUARDIAN_LOST')
  await allEnabled(dir)
})

t.test('removed and made again under the same name: the new one is not touched', async t => {
  for (const how of ['dispose', 'SIGKILL'] as const) {
    const top = scratch(t)
    const dir = child(top, 'guarded', 16 * MiB)
    const remote = await Remote.start(t)
    await remote.guard(dir, { delayMs: DELAY })
    rmdirSync(dir)
    child(top, 'guarded', 16 * MiB)
    t.notOk(isHeld(dir), 'it is not guarded')
    // The new group is held by another program.
    holdByHand(dir)
    const { hog, lived } = await overfill(t, dir)
    await until(() => underOom(dir))
    await new Promise(resolve => setTimeout(resolve, 2 * DELAY))
    t.ok(underOom(dir), 'no process acts for it')
    if (how === 'dispose') await remote.run('await guards[0].dispose()')
    else remote.child.kill(how)
    if (how === 'SIGKILL') await allGone(remote)
    t.ok(isHeld(dir) && underOom(dir), 'no process restores anything')
    await hog.end()
    t.notOk(await lived)
  }
})

t.test('a group below, removed and made again: guarded as any new one', async t => {
  const dir = scratch(t, 64 * MiB)
  const remote = await Remote.start(t)
  await remote.guard(dir, { delayMs: DELAY })
  for (let round = 0; round < 3; round++) {
    const below = child(dir, 'below', 16 * MiB)
    const { lived } = await overfill(t, below)
    t.notOk(await lived)
    t.match(await remote.event('ended'), { group: below, outcome: /fallback|guardian/ })
    await until(() => {
      try {
        rmdirSync(below)
        return true
      } catch {
        return false
      }
    })
  }
})

t.test('workers come and go with guards in them, also out of memory', async t => {
  const remote = await Remote.start(t)
  const keep = scratch(t, 16 * MiB)
  await remote.guard(keep, { delayMs: DELAY })
  const guardian = await remote.run<number>('return binding().guardianPid()')
  await remote.run(`
    globalThis.once = require('node:events').once
    globalThis.start = async dir => {
      const worker = new Worker(\`
        const { parentPort, workerData: { dist, dir } } = require('node:worker_threads')
        const { MemoryGroup } = require(dist + '/index.js')
        void (async () => {
          const group = await MemoryGroup.open(dir)
          group.watch().unref()
          globalThis.guard = await group.guard({ delayMs: 60000 })
          parentPort.postMessage('armed')
          setInterval(() => {}, 1000)
        })()\`, { eval: true, workerData: { dist: DIST, dir } })
      await once(worker, 'message')
      return (globalThis.worker = worker)
    }`)
  const dirs = Array.from({ length: 3 }, () => scratch(t, 16 * MiB, 600))
  let count = 0
  const late: number[] = []
  let fds: number | undefined
  for (let round = 0; round < 4 + 20 * (rounds - 1); round++) {
    const dir = dirs[round % dirs.length]!
    await remote.run(`await start(${q(dir)})`)
    t.ok(isHeld(dir))
    const full = round % 2 === 1 ? await overfill(t, dir) : undefined
    if (full) await until(() => underOom(dir))
    const began = process.hrtime.bigint()
    await remote.run('await worker.terminate()')
    if (full) {
      t.notOk(await full.lived, 'the kernel has decided')
      late.push(Number(process.hrtime.bigint() - began) / 1e6)
    }
    count++
    t.notOk(isHeld(dir), 'released with the worker')
    t.equal(await remote.run('return binding().guardianPid()'), guardian)
    // The first rounds open what stays.
    if (round === 1) fds = fdsOf(remote.pid).length
  }
  t.ok(fdsOf(remote.pid).length <= fds! + 2, 'no descriptor stays')
  t.ok(isHeld(keep), 'the guard of the main thread goes on')
  const { lived } = await overfill(t, keep)
  t.notOk(await lived)
  t.match(await remote.event('ended'), { outcome: /fallback|guardian/ })
  recordLateness(t, 'worker terminated with a guard in it', late, count)
})

t.test('children inherit no descriptor', async t => {
  const dir = scratch(t, 64 * MiB)
  const remote = await Remote.start(t)
  const before = new Set(fdsOf(remote.pid))
  await remote.guard(dir, { delayMs: 60_000 })
  await remote.run(`
    globalThis.group = await oom.MemoryGroup.open(${q(dir)})
    globalThis.kept = [group.watch(), group.watchUsage(1 << 20), oom.watchTree(${q(dir)}),
      new oom.EventFd(), new oom.DelayTimer(), oom.PidFd.open(process.pid)]
    for (const one of kept.slice(0, 3)) void one.next()
    await kept[2].ready`)
  const ours = fdsOf(remote.pid).filter(fd => !before.has(fd))
  t.ok(ours.length > 15, `${ours.length} descriptors`)
  for (const fd of ours) {
    const name = readlinkSync(`/proc/${remote.pid}/fd/${fd}`)
    const info = readFileSync(`/proc/${remote.pid}/fdinfo/${fd}`, 'utf8')
    const flags = Number.parseInt(/^flags:\s*(\d+)$/m.exec(info)![1]!, 8)
    t.ok(flags & 0o2000000, `${name} is close-on-exec`)
  }
  const list = `require('node:fs').readdirSync('/proc/self/fd').map(fd => {
    try { return require('node:fs').readlinkSync('/proc/self/fd/' + fd) } catch { return '' } })`
  const inherited = (names: string[]) =>
    names.filter(name => name.startsWith(mount) || name.includes('cgroup-oom'))
  const shell = 'for fd in /proc/self/fd/*; do readlink $fd || :; done'
  for (const start of [
    `require('node:child_process').execFileSync('sh', ['-c', ${q(shell)}], { encoding: 'utf8' })`,
    `await new Promise(resolve => {
       const child = oom.spawn('sh', ['-c', ${q(shell)}], { group })
       let text = ''
       child.stdout.on('data', data => (text += data)).on('close', () => resolve(text)) })`,
    `await new Promise(resolve => {
       const child = require('node:child_process').fork('x', [], {
         execArgv: ['-e', ${q(`process.send(${list}.join('\\n'))`)}] })
       child.once('message', resolve).once('exit', resolve) })`,
  ]) {
    const text = await remote.run<string>(`return ${start}`)
    t.ok(text.split('\n').length > 3, text)
    t.strictSame(inherited(text.split('\n')), [])
  }
})

t.test('a supervisor that becomes another program: everything is restored', async t => {
  const dir = scratch(t, 16 * MiB)
  const remote = await Remote.start(t)
  if (!(await remote.run<boolean>('return typeof process.execve === "function"'))) {
    t.comment('this Node.js has no process.execve()')
    return
  }
  await remote.guard(dir, { delayMs: DELAY })
  void remote.run(`process.execve('/bin/sleep', ['sleep', '600'], {})`).catch(() => {})
  await allEnabled(dir)
  await until(() => remote.household().length === 1)
  t.equal(killsIn(dir), 0)
})
