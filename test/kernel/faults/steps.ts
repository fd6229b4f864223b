// A signal between any two steps of arming, of an episode and of disposing, sent from outside by a
// tracer (test/native/tracer.c) that counts the supervisor's, or the guardian's, system calls. After
// each one the group is filled: it must be released in time, and nothing may stay behind.
//   OOM_FAULT_ROUNDS   1: a few steps of each phase; more: that many times as many
import t, { type Test } from 'tap'
import {
  allEnabled,
  allGone,
  overfill,
  rounds,
  stop,
  recordLateness,
} from '../../helpers/faults.js'
import { Remote } from '../../helpers/remote.js'
import { isHeld, MiB } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'
import { Tracer } from '../../helpers/tracer.js'

t.setTimeout(rounds * 900_000)

const DELAY = 100
const FEW = 4 * rounds

type Phase = 'arming' | 'an episode' | 'disposing'

/** A group and one below it, in which its members are: v2 has none in those that have any below. */
function groups(t: Test): { dir: string; below: string } {
  const dir = scratch(t, 16 * MiB, 600)
  return { dir, below: child(dir, 'below', 32 * MiB) }
}

/** Milliseconds that the group, filled now, is out of memory beyond the delay; never let live. */
async function lateness(t: Test, members: string): Promise<number> {
  const { lived } = await overfill(t, members)
  const began = process.hrtime.bigint()
  t.notOk(await lived, 'the kernel has decided')
  return Number(process.hrtime.bigint() - began) / 1e6 - DELAY
}

class Supervisor {
  private constructor(
    readonly t: Test,
    readonly phase: Phase,
    readonly remote: Remote,
    readonly dir: string,
    readonly below: string,
  ) {}

  static async start(t: Test, phase: Phase): Promise<Supervisor> {
    const { dir, below } = groups(t)
    const remote = await Remote.start(t)
    if (phase !== 'arming') await remote.guard(dir, { delayMs: DELAY })
    return new Supervisor(t, phase, remote, dir, below)
  }

  /** The phase itself: resolves when it is over, whatever has come in between. */
  async act(): Promise<void> {
    const { t, remote, phase, dir, below } = this
    try {
      if (phase === 'arming') await remote.guard(dir, { delayMs: DELAY })
      if (phase === 'disposing') await remote.run('await guards[0].dispose()')
      if (phase === 'an episode') {
        this.late = await lateness(t, below)
        await remote.event('ended')
      }
    } catch {}
  }
  late: number | undefined

  /** How late this episode has been, or one that begins now. */
  async lateness(): Promise<number> {
    if (this.phase === 'an episode') await until(() => this.late !== undefined)
    return this.late ?? lateness(this.t, this.below)
  }

  /** Whatever has become of it: nothing may stay. */
  async end(): Promise<void> {
    this.remote.child.kill('SIGKILL')
    await this.remote.exited
    await allEnabled(this.dir)
    await allGone(this.remote)
  }
}

/** How many steps there are: those of one undisturbed run. */
async function steps(t: Test, phase: Phase): Promise<number> {
  const supervisor = await Supervisor.start(t, phase)
  const tracer = await Tracer.count(t, supervisor.remote.pid)
  await supervisor.act()
  await tracer.end()
  await supervisor.end()
  return tracer.total
}

/** `count` of 1 … total, evenly spread, others in each run of the suite. */
function spread(total: number, count: number): number[] {
  const width = Math.max(1, total / count)
  const shift = Math.random() * width
  return Array.from({ length: Math.min(count, total) }, (_, i) => 1 + Math.floor(i * width + shift))
}

const ENDING = ['SIGKILL', 'SIGABRT', 'SIGTERM'] as const

for (const phase of ['arming', 'an episode', 'disposing'] as const) {
  t.test(`signals at any step of ${phase}`, async t => {
    // An episode takes the more of them the longer it lasts: what is beyond its end hits nothing.
    const total = Math.min(await steps(t, phase), await steps(t, phase))
    const late: Record<string, number[]> = {}
    let round = 0
    for (const n of spread(total, FEW)) {
      for (const name of [ENDING[round++ % ENDING.length]!, 'SIGSTOP'] as const) {
        const supervisor = await Supervisor.start(t, phase)
        const { remote } = supervisor
        const tracer = await Tracer.inject(t, remote.pid, name, n)
        const over = supervisor.act()
        const hit = await Promise.race([tracer.hit, over])
        t.comment(`${name} at ${n} of ${total}: ${hit ? `${hit.thread}, ${hit.name}` : 'over'}`)
        if (!hit) {
          // It has got by with fewer steps this time.
          await tracer.end()
        } else if (name !== 'SIGSTOP') {
          t.strictSame(await remote.exited, [null, name])
        }
        const ms = await supervisor.lateness()
        if (hit) (late[name] ??= []).push(ms)
        if (name === 'SIGSTOP') remote.child.kill('SIGCONT')
        await over
        await supervisor.end()
      }
    }
    t.ok(Object.keys(late).length > 0, 'it was hit')
    for (const [name, list] of Object.entries(late))
      recordLateness(t, `${name} at any step of ${phase}`, list)
  })
}

t.test('SIGKILL of the guardian at any step of registering a guard', async t => {
  const late: number[] = []
  const run = async (n: number): Promise<number> => {
    const { dir, below } = groups(t)
    const other = scratch(t, 16 * MiB, 600)
    const remote = await Remote.start(t)
    const { guardian } = await remote.guard(other, { delayMs: DELAY })
    const tracer =
      n === 0 ? await Tracer.count(t, guardian) : await Tracer.inject(t, guardian, 'SIGKILL', n)
    await remote.guard(dir, { delayMs: DELAY })
    await tracer.end()
    t.ok(isHeld(dir) && isHeld(other), 'armed all the same')
    if (n > 0) {
      // The guardian that is there now keeps the promise without the supervisor.
      await until(async () => (await remote.run('return binding().guardianPid()')) !== 0)
      remote.child.kill('SIGKILL')
      await remote.exited
      late.push(Math.max(await lateness(t, below), await lateness(t, other)))
    }
    remote.child.kill('SIGKILL')
    await allEnabled(dir)
    await allEnabled(other)
    await allGone(remote)
    return tracer.total
  }
  for (const n of spread(await run(0), FEW)) await run(n)
  recordLateness(t, 'SIGKILL of the guardian at any step of arming', late)
})

t.test('SIGKILL of the guardian at any step of acting for a stopped supervisor', async t => {
  const late: number[] = []
  const run = async (n: number): Promise<number> => {
    const dir = scratch(t, 16 * MiB, 600)
    const remote = await Remote.start(t)
    const { guardian } = await remote.guard(dir, { delayMs: DELAY })
    await stop(remote.pid)
    const tracer =
      n === 0 ? await Tracer.count(t, guardian) : await Tracer.inject(t, guardian, 'SIGKILL', n)
    const { lived } = await overfill(t, dir)
    const hit = await Promise.race([tracer.hit, lived])
    // No process acts until the supervisor continues: then it acts at once, and starts another guardian.
    const began = process.hrtime.bigint()
    remote.child.kill('SIGCONT')
    t.notOk(await lived)
    if (hit) late.push(Number(process.hrtime.bigint() - began) / 1e6 - DELAY)
    await tracer.end()
    await until(async () => {
      const pid = await remote.run('return binding().guardianPid()')
      return pid !== 0 && (!hit || pid !== guardian)
    })
    // The supervisor arms it again when it has seen how the episode ended.
    await until(() => isHeld(dir))
    remote.child.kill('SIGKILL')
    await allEnabled(dir)
    await allGone(remote)
    return tracer.total
  }
  for (const n of spread(await run(0), FEW)) await run(n)
  recordLateness(t, 'SIGKILL of the guardian at any step of acting, then SIGCONT', late)
})
