// Checked by `npm run types`, never run: what the public types allow, infer and refuse.
import { expectTypeOf } from 'expect-type'
import type { ChildProcess } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import type {
  Bytes,
  Capability,
  EpisodeEnd,
  ExitReport,
  GroupLauncher,
  GuardOptions,
  HomeOptions,
  KillOptions,
  MemoryLimits,
  MemoryLimitsInit,
  MemoryGroup,
  MemoryLock,
  OomCounters,
  OomEpisode,
  OomError,
  OomEvent,
  OomGuard,
  OomWatch,
  Outcome,
  PlaceKind,
  PlanStep,
  PressureEvent,
  ProbeReport,
  UsageSize,
} from '../../lib/index.js'
import { exitReport, groupOptions, spawn } from '../../lib/index.js'
import type { SimulatedGroup } from '../../lib/testing.js'

// Errors are Errors, with the fields that Node's own system errors have.
expectTypeOf<OomError>().toExtend<Error>()
expectTypeOf<OomError['code']>().toEqualTypeOf<string>()
expectTypeOf<OomError['errno']>().toEqualTypeOf<number | undefined>()
expectTypeOf<ConstructorParameters<typeof OomError>[0]>().toEqualTypeOf<string>()

// Sizes go in as numbers or in the kernel's notation, and come out as numbers.
expectTypeOf<number>().toExtend<Bytes>()
expectTypeOf<'64M'>().toExtend<Bytes>()
expectTypeOf<bigint>().not.toExtend<Bytes>()
expectTypeOf<MemoryLimits['max']>().toEqualTypeOf<number>()
expectTypeOf<{ max: '64M'; swapMax: 0 }>().toExtend<MemoryLimitsInit>()
expectTypeOf<{ max: boolean }>().not.toExtend<MemoryLimitsInit>()
expectTypeOf<OomCounters['underOom']>().toEqualTypeOf<boolean | undefined>()
expectTypeOf<{ signal: 'SIGUSR2' }>().toExtend<KillOptions>()
expectTypeOf<{ signal: 'SIGNONE' }>().not.toExtend<KillOptions>()

// A size of usage may be a share of the limit.
expectTypeOf<'80%'>().toExtend<UsageSize>()
expectTypeOf<bigint>().not.toExtend<UsageSize>()
expectTypeOf<Parameters<MemoryGroup['watchUsage']>[0]>().toEqualTypeOf<UsageSize>()
expectTypeOf<MemoryGroup['peak']>().toEqualTypeOf<() => Promise<number>>()
expectTypeOf<PressureEvent['sampled']>().toEqualTypeOf<boolean | undefined>()

// Events are distinguished by their type; an overflow belongs to no group.
type Event<T extends OomEvent['type']> = Extract<OomEvent, { type: T }>
expectTypeOf<OomEvent['at']>().toEqualTypeOf<bigint>()
expectTypeOf<Event<'oom'>['origin']>().toEqualTypeOf<'self' | 'ancestor' | 'unknown'>()
expectTypeOf<Event<'removed'>['counters']>().toEqualTypeOf<OomCounters | undefined>()
expectTypeOf<Event<'overflow'>>().not.toHaveProperty('group')
expectTypeOf<Event<'kill'>>().not.toHaveProperty('origin')
// @ts-expect-error v2 events are requested by name
expectTypeOf<Event<'low'>['count']>().toBeNumber()

export async function watching(watch: OomWatch): Promise<void> {
  for await (const event of watch) {
    expectTypeOf(event).toEqualTypeOf<OomEvent>()
    if (event.type === 'overflow') expectTypeOf(event.missed).toBeNumber()
    else expectTypeOf(event.group).toBeString()
  }
  expectTypeOf(watch.unref()).toEqualTypeOf<typeof watch>()
  await using closed = watch
  expectTypeOf(closed.ready).toEqualTypeOf<Promise<void>>()
}

// A guard needs its delay and nothing else.
expectTypeOf<{ delayMs: number }>().toExtend<GuardOptions>()
// eslint-disable-next-line @typescript-eslint/no-empty-object-type
expectTypeOf<{}>().not.toExtend<GuardOptions>()
expectTypeOf<{ delayMs: number; fallback: 'kill' }>().not.toExtend<GuardOptions>()
expectTypeOf<{ delayMs: 1; guardian: { graceMs: 5 } }>().toExtend<GuardOptions>()
expectTypeOf<{ delayMs: 1; thrash: { stallMs: 1; windowMs: 500 } }>().toExtend<GuardOptions>()
expectTypeOf<{ delayMs: 1; thrash: { stallMs: 1 } }>().not.toExtend<GuardOptions>()
expectTypeOf<OomEpisode['reason']>().toEqualTypeOf<'oom' | 'thrash'>()
expectTypeOf<{ afterMs: 0; action: 'signal'; signal: 'SIGUSR2' }>().toExtend<PlanStep>()
expectTypeOf<{ afterMs: 0; action: 'signal' }>().not.toExtend<PlanStep>()
expectTypeOf<{ afterMs: 0; action: 'kill-newest' }>().toExtend<PlanStep>()
expectTypeOf<{ delayMs: 1; fallback: 'kill-newest' }>().toExtend<GuardOptions>()
expectTypeOf<{ action: 'freeze' }>().not.toExtend<PlanStep>()

export async function guarding(guard: OomGuard): Promise<Outcome> {
  for await (const episode of guard) {
    expectTypeOf(episode).toEqualTypeOf<OomEpisode>()
    expectTypeOf(episode.kill('largest')).toEqualTypeOf<Promise<number[]>>()
    await episode.raiseLimit({ by: '16M' })
    // @ts-expect-error neither an absolute size nor an amount
    await episode.raiseLimit({ to: '16M' })
    expectTypeOf(await episode.ended).toEqualTypeOf<EpisodeEnd>()
    return (await episode.ended).outcome
  }
  expectTypeOf(guard.stats.byOutcome.guardian).toBeNumber()
  return 'cancelled'
}

expectTypeOf<MemoryLock>().toExtend<Disposable>()
// A home is a group, and so is what is made below it.
expectTypeOf<{ settle: true }>().toExtend<HomeOptions>()
expectTypeOf<{ settle: 'yes' }>().not.toExtend<HomeOptions>()
expectTypeOf<(typeof MemoryGroup)['home']>().returns.resolves.toExtend<MemoryGroup>()
expectTypeOf<MemoryGroup['create']>().parameter(0).toBeString()
expectTypeOf<MemoryGroup['create']>().returns.resolves.toEqualTypeOf<MemoryGroup>()
expectTypeOf<ProbeReport['place']['kind']>().toEqualTypeOf<PlaceKind>()
expectTypeOf<ProbeReport['bounds']['limit']>().toEqualTypeOf<number | null>()

expectTypeOf<ProbeReport['version']>().toEqualTypeOf<1 | 2 | null>()
expectTypeOf<Capability['remedy']>().toEqualTypeOf<string | undefined>()

// A program that takes a group takes a simulated one, and a guard's.
expectTypeOf<SimulatedGroup>().toExtend<MemoryGroup>()
expectTypeOf<OomGuard['group']>().toExtend<MemoryGroup>()
expectTypeOf<MemoryGroup>().toExtend<OomGuard['group']>()

// spawn() without a group, with the types of child_process.spawn; the launcher for others.
export function spawning(group: MemoryGroup): void {
  expectTypeOf(spawn('true').stdout).toEqualTypeOf<Readable>()
  expectTypeOf(spawn('true', [], { oomScoreAdj: 1000 }).stdin).toEqualTypeOf<Writable>()
  expectTypeOf(spawn('true', { group, stdio: 'inherit' })).toEqualTypeOf<ChildProcess>()
  // @ts-expect-error a number
  spawn('true', [], { oomScoreAdj: '1000' })
  expectTypeOf(groupOptions(group, { oomScoreAdj: 500 })).toEqualTypeOf<GroupLauncher>()
  expectTypeOf<GroupLauncher>().toEqualTypeOf<{
    command: string
    args: string[]
    fork: { execPath: string; execArgv: string[] }
  }>()
}

// A report about any child.
export function reporting(child: ChildProcess): void {
  expectTypeOf(exitReport(child)).toEqualTypeOf<Promise<ExitReport>>()
  expectTypeOf<ExitReport['oom']>().toEqualTypeOf<'yes' | 'likely' | 'no' | 'unknown'>()
  // @ts-expect-error a child
  void exitReport(1)
}

// What holds a group can be chosen, and is known of the guard.
expectTypeOf<NonNullable<GuardOptions['hold']>['by']>().toEqualTypeOf<
  'kernel' | 'signals' | 'auto' | undefined
>()
expectTypeOf<NonNullable<GuardOptions['hold']>['who']>().toEqualTypeOf<
  'children' | 'members' | undefined
>()
expectTypeOf<OomGuard['heldBy']>().toEqualTypeOf<'kernel' | 'signals'>()
