// The oom_score_adj that a child of spawn() starts with, in a group or in none, and what is refused. The child
// prints what it finds: nothing of this process writes it afterwards.
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { spawn as plainSpawn, type ChildProcess } from 'node:child_process'
import t from 'tap'
import { probe, protect, spawn } from '../../../lib/index.js'
import { compiled } from '../../helpers/compile.js'
import { openGroup } from '../../helpers/group.js'
import { groupOf, killsIn, MiB } from '../../helpers/memory-files.js'
import { Remote } from '../../helpers/remote.js'
import { scratch } from '../../helpers/scratch.js'

const FILE = '/proc/self/oom_score_adj'
const own = () => Number(readFileSync(FILE, 'utf8'))
const mayLower = (await probe()).protect.available

async function outputOf(child: ChildProcess): Promise<string> {
  let text = ''
  child.stdout!.on('data', data => (text += String(data)))
  await once(child, 'close')
  return text
}

const startsWith = async (options: object = {}) =>
  Number(await outputOf(spawn('cat', [FILE], { stdio: ['ignore', 'pipe', 'inherit'], ...options })))

t.test('without a group it is a plain spawn', async t => {
  const child = spawn('sh', ['-c', 'echo $0 $PPID; cat', 'x'])
  child.stdin.end('from stdin')
  t.equal(child.spawnfile, 'sh')
  t.strictSame(child.spawnargs, ['sh', '-c', 'echo $0 $PPID; cat', 'x'])
  t.equal(await outputOf(child), `x ${process.pid}\nfrom stdin`)
  const all = [spawn('true'), spawn('true', []), spawn('true', { detached: true })]
  for (const one of all) t.strictSame(await once(one, 'exit'), [0, null])
  const missing = spawn('no-such-command', [])
  t.match(await once(missing, 'error'), [{ code: 'ENOENT', syscall: 'spawn no-such-command' }])
  const refused = { code: 'ERR_INVALID_ARG_VALUE', message: /options\.group/ }
  t.throws(() => spawn('true', { killGroup: true }), refused)
})

t.test('a score alone leaves the child in the group of this process', async t => {
  const code = `process.stdout.write(require('fs').readFileSync('${FILE}', 'utf8')); process.stdin.resume()`
  const child = spawn(process.execPath, ['-e', code], { oomScoreAdj: 1000, env: {} })
  const [score] = (await once(child.stdout, 'data')) as [Buffer]
  t.equal(String(score), '1000\n')
  t.equal(groupOf(child.pid!), groupOf(process.pid))
  child.stdin.end()
  await once(child, 'close')
  const missing = spawn('no-such-command', [], { oomScoreAdj: 1000 })
  t.match(await once(missing, 'error'), [{ code: 'ENOENT' }])
})

t.test('no descriptor of the launcher is left to the command', async t => {
  const list = 'ls -l /proc/self/fd | wc -l'
  const plain = await outputOf(plainSpawn('sh', ['-c', list]))
  t.equal(await outputOf(spawn('sh', ['-c', list], { oomScoreAdj: 1000 })), plain)
})

t.test('it is that from before protect(), unless it is given', async t => {
  const group = await openGroup(t, scratch(t))
  const found = own()
  for (const where of [{}, { group }]) {
    t.equal(await startsWith(where), found)
    const restore = await protect({ oomScoreAdj: Math.min(found + 300, 1000) })
    try {
      t.equal(await startsWith(where), found)
      t.equal(await startsWith({ ...where, uid: 65534 }), found)
      t.equal(await startsWith({ ...where, oomScoreAdj: 700 }), 700)
      t.equal(await startsWith({ ...where, oomScoreAdj: 1000 }), 1000)
      // Back to where it was needs no privilege.
      t.equal(await startsWith({ ...where, oomScoreAdj: found }), found)
    } finally {
      await restore()
    }
    t.equal(await startsWith(where), found)
    for (const value of [-1001, 1001, 0.5]) {
      const refused = { code: 'ERR_OUT_OF_RANGE' }
      t.throws(() => spawn('true', { ...where, oomScoreAdj: value }), refused)
    }
    t.throws(() => spawn('true', { ...where, oomScoreAdj: '1' as never }), {
      code: 'ERR_INVALID_ARG_TYPE',
    })
  }
})

t.test('with CAP_SYS_RESOURCE it may be lowered', { skip: !mayLower }, async t => {
  const group = await openGroup(t, scratch(t))
  for (const where of [{}, { group }])
    t.equal(await startsWith({ ...where, oomScoreAdj: -1000 }), -1000)
  const restore = await protect()
  t.equal(own(), -1000)
  t.equal(await startsWith({ group }), 0)
  await restore()
})

const REFUSED = { code: 'EACCES', message: /CAP_SYS_RESOURCE/ }

t.test('what takes CAP_SYS_RESOURCE is thrown before anything has been touched', async t => {
  // As a user who has none; raised before, so that there is a way back.
  const dir = scratch(t)
  const through = ['/usr/bin/setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
  const remote = await Remote.start(t, { through })
  const found = await remote.run<number>(`return Number(fs.readFileSync('${FILE}'))`)
  const spawned = (options: string) =>
    remote.run(`
      const before = fs.readdirSync('/proc/self/fd').length
      const group = await oom.MemoryGroup.open(${JSON.stringify(dir)})
      try {
        const child = oom.spawn('cat', ['${FILE}'], { stdio: ['ignore', 'pipe', 'inherit'], ${options} })
        let text = ''
        for await (const data of child.stdout) text += data
        return Number(text)
      } finally {
        await group.close()
        emit('own', [Number(fs.readFileSync('${FILE}')), fs.readdirSync('/proc/self/fd').length - before])
      }
    `)
  t.equal(await spawned(`oomScoreAdj: ${found}`), found)
  await remote.event('own')
  await remote.run(`fs.writeFileSync('${FILE}', '${Math.min(found + 200, 1000)}')`)
  for (const score of [-1000, found - 1]) {
    for (const where of ['', 'group, ']) {
      await t.rejects(spawned(`${where}oomScoreAdj: ${score}`), REFUSED)
      const [now, fds] = await remote.event<[number, number]>('own')
      t.equal(now, found + 200, "this process's own is as it was")
      t.ok(fds <= 0, 'nothing was opened')
    }
  }
  t.equal(await spawned(`oomScoreAdj: ${found}`), found, 'back to where it was')
})

t.test('so it is for a root that lacks it', { skip: mayLower }, async t => {
  const group = await openGroup(t, scratch(t))
  for (const where of [{}, { group }]) {
    t.throws(() => spawn('true', { ...where, oomScoreAdj: -1000 }), {
      name: 'OomError',
      path: FILE,
      ...REFUSED,
    })
  }
  const found = own()
  writeFileSync(FILE, String(found + 100))
  t.throws(() => spawn('true', { oomScoreAdj: found - 1 }), REFUSED)
  t.equal(own(), found + 100)
  writeFileSync(FILE, String(found))
})

t.test('the kernel takes a child with a high score first, not the largest', async t => {
  const dir = scratch(t, 64 * MiB)
  const group = await openGroup(t, dir)
  const start = (options: object) => {
    const child = spawn(compiled('hog'), [], {
      group,
      stdio: ['pipe', 'pipe', 'inherit'],
      ...options,
    })
    child.stdin.on('error', () => {})
    t.teardown(() => child.kill('SIGKILL'))
    return child
  }
  const first = start({ oomScoreAdj: 1000 })
  const large = start({})
  first.stdin.write(`fill ${12 * MiB}\n`)
  for await (const data of first.stdout) if (String(data).includes('filled')) break
  const exited = once(first, 'exit')
  large.stdin.write(`fill ${56 * MiB}\n`)
  t.strictSame(await exited, [null, 'SIGKILL'])
  for await (const data of large.stdout) if (String(data).includes('filled')) break
  t.equal(large.exitCode ?? large.signalCode, null, 'it has got what it wanted')
  t.ok(killsIn(dir) > 0)
})
