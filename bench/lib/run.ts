// How a measurement is run and what it prints: a title, a table, ratios, and whether a target was met.
// A slow machine misses targets; it never makes a measurement fail.
//
// Each ratio to a floor of the same run goes to the file that OOM_BENCH_RATIOS names, for the gate and for
// the figures in the documents (scripts/bench.mjs).
import { writeFileSync } from 'node:fs'
import { sweep, type Ending } from '../../test/helpers/scratch.js'

/** A form of some seconds, for the gate: fewer repetitions, nothing else differs. */
export const SHORT = process.env.OOM_BENCH_SHORT === '1'

/** As they are kept in bench/ratios.json: `floor` and `measured` are for the reader, nothing compares them. */
export interface Ratio {
  ratio: number
  floor: string
  measured: string
  /** The gate leaves it out: the short form does not measure it, or it depends on the number of processors. */
  ungated?: true
}

export class Bench implements Ending {
  readonly #ends: (() => Promise<void>)[] = []
  readonly ratios: Record<string, Ratio> = {}

  /** Done at the end, last first, whatever happens. */
  teardown(end: () => Promise<void>): void {
    this.#ends.push(end)
  }

  async finish(): Promise<void> {
    for (const end of this.#ends.reverse()) await end()
  }

  /** A table: the first row is the head, the first column the names. */
  table(rows: readonly (readonly string[])[]): void {
    const widths = rows[0]!.map((_, i) => Math.max(...rows.map(row => (row[i] ?? '').length)))
    for (const row of rows) {
      const cells = row.map((text, i) =>
        i === 0 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!),
      )
      console.log(`  ${cells.join('   ')}`.trimEnd())
    }
  }

  note(text: string): void {
    console.log(`  ${text}`)
  }

  /** `measured` next to the least that the kernel allows; both in nanoseconds. */
  ratio(
    name: string,
    measured: number,
    floor: number,
    text: (ns: number) => string,
    gated = true,
  ): void {
    const ratio = Number((measured / floor).toFixed(3))
    this.ratios[name] = { ratio, floor: text(floor), measured: text(measured) }
    if (!gated) this.ratios[name].ungated = true
    this.note(`${name}: ${ratio.toFixed(2)} times the floor`)
  }

  target(what: string, met: boolean): void {
    console.log(`  target ${met ? 'met' : 'MISSED'}: ${what}`)
  }
}

/** Runs one measurement as the whole program. */
export async function measure(title: string, run: (bench: Bench) => Promise<void>): Promise<void> {
  const bench = new Bench()
  const began = performance.now()
  console.log(`\n${title}`)
  try {
    await sweep()
    await run(bench)
    const file = process.env.OOM_BENCH_RATIOS
    if (file) writeFileSync(file, JSON.stringify(bench.ratios))
  } catch (error) {
    console.error(error)
    process.exitCode = 1
  } finally {
    await bench.finish()
  }
  console.log(`  (${((performance.now() - began) / 1000).toFixed(1)} s)`)
}
