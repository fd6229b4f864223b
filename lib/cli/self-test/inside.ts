// Runs inside the scratch group: guards the group that it is in, fills it until it hangs, and reports
// when it goes on. Its arguments: the group's path. Whoever started it is outside and waits.
import { MemoryGroup } from '../../group.js'
import { DELAY_MS, failureOf, HEADROOM, type Word } from './talk.js'

const CHUNK = 2 ** 20

const say = (word: Word): void => {
  process.stdout.write(`${JSON.stringify(word)}\n`)
}

async function main(path: string): Promise<void> {
  let during = 'open the group'
  try {
    await using group = await MemoryGroup.open(path)
    const { max } = await group.limits()
    during = 'guard it'
    const began = process.hrtime.bigint()
    const guard = await group.guard({
      delayMs: DELAY_MS,
      plan: [{ afterMs: 0, action: 'headroom', bytes: HEADROOM }],
    })
    say({ say: 'armed', afterNs: Number(process.hrtime.bigint() - began) })

    during = 'fill it'
    const first = guard[Symbol.asyncIterator]().next()
    let starved = false
    void first.then(() => (starved = true))
    // One mapping, made while there is memory: inside a starved group no other can be.
    const memory = Buffer.allocUnsafeSlow(max + HEADROOM)
    say({ say: 'filling' })
    for (let at = 0; !starved && at < memory.length; at += CHUNK) {
      memory.fill(1, at, at + CHUNK)
      await new Promise(resolve => setImmediate(resolve))
    }
    const result = await first
    if (result.done === true) throw new Error('the guard has ended')
    const episode = result.value
    const end = await episode.ended
    say({
      say: 'went on',
      usage: episode.usage,
      limit: episode.limit,
      outcome: end.outcome,
      oomNs: Number(end.at - episode.startedAt),
      steps: end.steps.map(({ action, errno, code, at }) => ({
        action,
        errno,
        code,
        afterNs: Number(at - episode.startedAt),
      })),
    })
    during = 'dispose the guard'
    await guard.dispose()
    say({ say: 'disposed' })
  } catch (error) {
    say({ say: 'failed', during, failure: failureOf(error) })
  }
}

void main(process.argv[2]!)
