// One group of `cgroup-oom guard`: armed, its episodes printed and given to the command; armed again after a
// failure or, with `follow`, when a group of that name is there again; until it is ended.
import { setTimeout as sleep } from 'node:timers/promises'
import type { OomEpisode, OomGuard } from '../../../types/group.js'
import type { EpisodeEnd } from '../../../types/guard.js'
import { throwIfAborted } from '../../base/queue.js'
import { MemoryGroup } from '../../group/memory-group.js'
import { MAX_DELAY_MS } from '../../guard/options.js'
import { handleOf } from '../../handle/handle.js'
import { absoluteGroupPath, memoryGroupOf } from '../../handle/hierarchy.js'
import { appears, vanishes } from './appears.js'
import type { OomMetrics } from '../../metrics/metrics.js'
import type { Commands } from './commands.js'
import type { GroupConfig } from './config.js'
import { beginOf, jsonOf, variablesOf, type GuardLine } from './lines.js'

/** What all groups of one command have in common. */
export interface Surroundings {
  print: (line: GuardLine) => void
  commands: Commands
  metrics: OomMetrics
}

const GONE = ['ENOENT', 'ENODEV']
// While a runtime sets its group up (v2: the controller may come after the directory), and where it cannot be
// guarded: again after that, and then after twice as long.
const RETRY_MS = 10
const RETRY_MOST_MS = 1000

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code

/** Whether this process is in the group or below it. */
async function isInside(path: string): Promise<boolean> {
  const self = await memoryGroupOf(0).catch(() => undefined)
  return self === path || (self?.startsWith(`${path}/`) ?? false)
}

interface Armed {
  group: MemoryGroup
  guard: OomGuard
}

export class Guarded {
  /** Resolves when it is over: gone, or ended. Never rejects. */
  readonly ended: Promise<void>
  #config: GroupConfig
  readonly #path: string
  readonly #print: Surroundings['print']
  readonly #commands: Commands
  readonly #metrics: OomMetrics
  readonly #end = new AbortController()
  readonly #episodes = new Set<Promise<EpisodeEnd>>()
  #armed: Armed | undefined
  /** Set while the guard is exchanged: its end is not the group's. */
  #exchanging = false
  /** Called when it is armed again, or cannot be. */
  #tried: () => void = () => {}
  #over = false
  /** It has been armed: where it is gone, that is its end. */
  #known = false
  /** The last failure that was printed. */
  #told: string | undefined
  #finish!: () => void

  private constructor(config: GroupConfig, path: string, around: Surroundings) {
    this.#config = config
    this.#path = path
    this.#print = around.print
    this.#commands = around.commands
    this.#metrics = around.metrics
    this.ended = new Promise(resolve => (this.#finish = resolve))
  }

  /**
   * Armed when it resolves; with `follow` a group that is not there is waited for afterwards. Rejects with what
   * MemoryGroup.open() and guard() reject with, but with `patient`: then it prints that, and goes on trying.
   */
  static async start(
    config: GroupConfig,
    around: Surroundings,
    { patient }: { patient: boolean },
  ): Promise<Guarded> {
    const guarded = new Guarded(config, await absoluteGroupPath(config.path), around)
    try {
      await guarded.#arm()
    } catch (error) {
      const waits = config.follow && GONE.includes(codeOf(error) ?? '')
      if (!waits && !patient) throw error
      if (!waits) guarded.#told = guarded.#failed(error)
    }
    void guarded.#run()
    return guarded
  }

  get config(): GroupConfig {
    return this.#config
  }

  get over(): boolean {
    return this.#over
  }

  get guard(): OomGuard | undefined {
    return this.#armed?.guard
  }

  /** The delay alone changes at once. All else takes another guard, once no episode is running. */
  async change(config: GroupConfig): Promise<void> {
    await this.#mayCommand(config)
    const before = this.#config
    this.#config = config
    const same = (...keys: (keyof GroupConfig)[]) =>
      keys.every(key => JSON.stringify(before[key]) === JSON.stringify(config[key]))
    if (!same('fallback', 'plan', 'hold', 'thrash', 'record')) {
      await this.#exchange()
    } else if (!same('delayMs')) {
      this.guard?.setDelay(config.delayMs)
    }
    this.#print({ type: 'changed', group: this.#path, delayMs: config.delayMs })
  }

  /** Puts everything back. With `settle`, episodes that are running come to their own end first. */
  async stop(settle: boolean): Promise<void> {
    if (settle) await Promise.all(this.#episodes)
    this.#end.abort()
    await this.#armed?.guard.dispose()
    await this.ended
  }

  async #exchange(): Promise<void> {
    await Promise.all(this.#episodes)
    if (this.#armed === undefined) return
    const again = new Promise<void>(resolve => (this.#tried = resolve))
    this.#exchanging = true
    await this.#armed.guard.dispose()
    await Promise.race([again, this.ended])
  }

  /** A command that is started while the group starves would starve with it. */
  async #mayCommand({ onEpisode }: GroupConfig): Promise<void> {
    if (onEpisode === undefined || !(await isInside(this.#path))) return
    throw new Error(
      `'${this.#path}' has this process itself, and so would have the command of an episode, which cannot run where there is no memory: start cgroup-oom guard outside of it`,
    )
  }

  async #arm(): Promise<void> {
    const config = this.#config
    const { delayMs, fallback, plan, hold, thrash, record, takeOver } = config
    await this.#mayCommand(config)
    const group = await MemoryGroup.open(this.#path)
    try {
      const guard = await group.guard({
        delayMs,
        takeOver,
        // So that any other delay can be set later on.
        maxDelayMs: MAX_DELAY_MS,
        ...(fallback === undefined ? {} : { fallback }),
        ...(plan === undefined ? {} : { plan }),
        ...(hold === undefined ? {} : { hold }),
        ...(thrash === undefined ? {} : { thrash }),
        ...(record === undefined ? {} : { record }),
      })
      // It has been changed meanwhile.
      if (config !== this.#config) {
        await guard.dispose()
        await group.close()
        return await this.#arm()
      }
      this.#armed = { group, guard }
      this.#known = true
      this.#metrics.add(guard)
      this.#print({ type: 'armed', group: this.#path, heldBy: guard.heldBy, delayMs })
      this.#tried()
    } catch (error) {
      await group.close()
      throw error
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#end
    try {
      for (;;) {
        if (this.#armed === undefined && !(await this.#armAgain())) return
        const goOn = await this.#serve()
        throwIfAborted(signal)
        if (!goOn) return
      }
    } catch {
      // Ended: the signal has aborted.
      this.#print({ type: 'released', group: this.#path })
    } finally {
      this.#over = true
      this.#finish()
    }
  }

  /** The episodes of the guard that is armed, until its end; whether the group is to be guarded again. */
  async #serve(): Promise<boolean> {
    const { group, guard } = this.#armed!
    const over = new AbortController()
    // v1 notifies of a removal up to half a second late. By then another group may have the name.
    if (this.#config.follow) {
      void vanishes(this.#path, handleOf(group).identity, over.signal)
        .then(() => (over.signal.aborted ? undefined : guard.dispose()))
        .catch(() => {})
    }
    try {
      // stop() may have come while it was being armed.
      if (this.#end.signal.aborted) await guard.dispose()
      for await (const episode of guard) this.#begun(guard, episode)
    } catch (error) {
      this.#failed(error)
      return true
    } finally {
      over.abort()
      await guard.dispose().catch(error => this.#failed(error))
      this.#armed = undefined
      this.#metrics.delete(guard)
      await group.close()
    }
    if (this.#end.signal.aborted) return false
    if (this.#exchanging) {
      this.#exchanging = false
      return true
    }
    this.#print({ type: 'gone', group: this.#path })
    return this.#config.follow
  }

  /** Until it is armed; rejects when it is ended. False: the group is gone, and is not followed. */
  async #armAgain(): Promise<boolean> {
    const { signal } = this.#end
    for (let pause = RETRY_MS; ; pause = Math.min(2 * pause, RETRY_MOST_MS)) {
      throwIfAborted(signal)
      try {
        await this.#arm()
        return true
      } catch (error) {
        if (GONE.includes(codeOf(error) ?? '') && (this.#known || this.#config.follow)) {
          if (!this.#config.follow) {
            this.#print({ type: 'gone', group: this.#path })
            return false
          }
          this.#print({ type: 'waiting', group: this.#path })
          await appears(this.#path, signal)
          pause = RETRY_MS / 2
          continue
        }
        // Of a group that is being set up the first refusals are no news.
        const { message } = error as Error
        if (pause >= RETRY_MOST_MS && message !== this.#told) this.#told = this.#failed(error)
      }
      await sleep(pause, undefined, { signal })
    }
  }

  #begun(guard: OomGuard, episode: OomEpisode): void {
    const begin = beginOf(this.#path, guard.delayMs, episode)
    this.#print(begin)
    const ended = episode.ended.then(end => ({ ...begin, ...end, type: 'end' as const }))
    this.#episodes.add(episode.ended)
    void ended.then(line => {
      this.#episodes.delete(episode.ended)
      this.#print(line)
    })
    const { onEpisode } = this.#config
    if (onEpisode === undefined) return
    this.#commands.run(onEpisode, episode.group, {
      env: variablesOf(begin),
      begin: jsonOf(begin),
      end: ended.then(jsonOf),
    })
  }

  #failed(error: unknown): string {
    const { message, code } = error as NodeJS.ErrnoException
    this.#print({ type: 'failed', group: this.#path, message, code })
    this.#tried()
    return message
  }
}
