// examples/many-jobs.js with all its jobs: 500 groups of their own, each with a guard of its own, in one process,
// a tenth of them out of memory at once, on default sysctls.
// slow: left out: 500 processes
import t from 'tap'
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { bareEnv } from '../../helpers/bare-env.js'
import { scratch, until } from '../../helpers/scratch.js'

t.setTimeout(900_000)

const JOBS = 500
const sysctls = () =>
  [
    'fs/inotify/max_user_instances',
    'fs/inotify/max_user_watches',
    'fs/file-max',
    'vm/overcommit_memory',
  ].map(name => readFileSync(`/proc/sys/${name}`, 'utf8'))

t.test(`${JOBS} jobs, a tenth of them out of memory at once`, async t => {
  const parent = scratch(t, undefined, 800)
  const before = sysctls()
  const program = join(process.cwd(), 'examples/many-jobs.js')
  const { code, stdout, stderr } = await new Promise<Record<string, unknown>>(resolve => {
    const args = [...bareEnv(), process.execPath, program, parent, String(JOBS)]
    const child = execFile('env', args, (_, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }),
    )
  })
  t.strictSame([code, stderr], [0, ''])
  const lines = String(stdout).split('\n')
  t.equal(lines.shift(), `${JOBS} jobs in groups of their own, each guarded`)
  const found = new Map(lines.filter(Boolean).map(line => line.split(': ', 2) as [string, string]))
  t.comment(lines.join(', '))
  t.match(lines, [/^modest: 450 done; episodes: 0$/])
  // Each that was killed has had its second chance; what has been given room needs no second episode.
  const [, growing] = /^growing: 25 done; episodes: (\d+)$/m.exec(String(stdout)) ?? []
  const [, greedy] = /^greedy: 25 killed; episodes: (\d+)$/m.exec(String(stdout)) ?? []
  t.ok(Number(growing) >= 25, `growing: ${growing}`)
  t.ok(Number(greedy) >= 50, `greedy: ${greedy}`)
  t.equal(found.get('kills by the kernel'), '0')
  t.notOk(found.has('fallback') || found.has('guardian'), 'all by the program')
  t.strictSame(sysctls(), before)
  await until(() => readdirSync(parent, { withFileTypes: true }).every(e => !e.isDirectory()))
})
