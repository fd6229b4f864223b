// How a measurement is run and what it prints: a title, a table, ratios, and whether a target was met.
// A slow machine misses targets; it never makes a measurement fail.
import { sweep, type Ending } from '../../test/helpers/scratch.js'

export class Bench implements Ending {
  readonly #ends: (() => Promise<void>)[] = []

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
  } catch (error) {
    console.error(error)
    process.exitCode = 1
  } finally {
    await bench.finish()
  }
  console.log(`  (${((performance.now() - began) / 1000).toFixed(1)} s)`)
}
