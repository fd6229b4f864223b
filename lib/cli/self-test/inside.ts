// Runs inside the scratch group: guards the group that it is in, fills it until it hangs, and reports
// when it goes on. Its argument: the group's path. The process that started it is outside and waits.
import { MemoryGroup } from '../../group/memory-group.js'
import { DELAY_MS, failureOf, HEADROOM, type Word } from './talk.js'

const PIECE = 2 ** 20

const report = (word: Word): void => {
  process.stdout.write(`${JSON.stringify(word)}\n`)
}

type Resizable = ArrayBuffer & { resize(bytes: number): void }

/**
 * Memory whose pages are freed by resize(), not by garbage collection. It is cleared first: only resident
 * pages can be freed.
 */
function resizable(bytes: number): Resizable {
  const Buffer = ArrayBuffer as unknown as new (length: number, options: object) => Resizable
  return new Buffer(bytes, { maxByteLength: bytes })
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
      // The group is new: below a guarded one it was born with its killer disabled.
      takeOver: true,
    })
    report({ event: 'armed', afterNs: Number(process.hrtime.bigint() - began) })

    during = 'fill it'
    const first = guard[Symbol.asyncIterator]().next()
    let starved = false
    void first.then(() => (starved = true))
    // Mapped while there is memory: inside a starved group nothing can be.
    const pieces = Array.from({ length: (max + HEADROOM) / PIECE }, () => resizable(PIECE))
    const filled: Resizable[] = []
    report({ event: 'filling' })
    for (const piece of pieces) {
      if (starved) break
      filled.push(piece)
      new Uint8Array(piece).fill(1)
      await new Promise(resolve => setImmediate(resolve))
    }
    const result = await first
    const wentOn = process.hrtime.bigint()
    if (result.done === true) throw new Error('the guard has ended')
    const episode = result.value
    // Headroom is for the episode, which lasts until the group fits into its own limit again.
    for (const piece of filled) piece.resize(0)
    const end = await episode.ended
    report({
      event: 'went on',
      usage: episode.usage,
      limit: episode.limit,
      outcome: end.outcome,
      afterNs: Number(wentOn - episode.startedAt),
      steps: end.steps.map(({ action, errno, code }) => ({ action, errno, code })),
    })
    during = 'dispose the guard'
    await guard.dispose()
    report({ event: 'disposed' })
  } catch (error) {
    report({ event: 'failed', during, failure: failureOf(error) })
  }
}

void main(process.argv[2]!)
