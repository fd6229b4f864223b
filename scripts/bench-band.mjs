// Runs bench/band.ts under several kernels of the lab, v2, each with two processors and with one, one machine after
// the other: node scripts/bench-band.mjs [KERNEL…].
// Emulated processors are slow and so is what fills memory: what counts is how often the kernel is first.
// OOM_BAND_ROUNDS: of each row (default 10). OOM_BAND_LOADS: as bench/band.ts has it.
import { fail } from './run.mjs'
import { Lab } from '../lab/machine.mjs'

const KERNELS = ['5.10', '6.1', '6.12', 'newest']
const SECONDS = 3000
// A job maps twice the group's limit, which the kernel refuses where that is more than the machine has.
const MEMORY = 3072

const { OOM_BAND_ROUNDS = '10', OOM_BAND_LOADS } = process.env

try {
  const lab = new Lab()
  for (const wanted of process.argv.length > 2 ? process.argv.slice(2) : KERNELS) {
    const kernel = await lab.kernel(wanted)
    for (const options of [[], ['maxcpus=1']]) {
      console.log(`\n${kernel.release ?? wanted} ${options}`)
      await lab.run({
        kernel,
        version: 'v2',
        argv: ['/usr/bin/node', 'bench/band.js'],
        env: { OOM_BAND_ROUNDS, ...(OOM_BAND_LOADS === undefined ? {} : { OOM_BAND_LOADS }) },
        seconds: SECONDS,
        memory: MEMORY,
        options,
        output: data => process.stdout.write(data),
      })
    }
  }
} catch (error) {
  fail(`bench-band: ${error.message}`)
}
