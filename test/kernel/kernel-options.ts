// What options on the kernel's command line take away: scripts/lab-test.mjs boots a machine for each.
import { readFileSync } from 'node:fs'
import t from 'tap'
import { MemoryGroup, probe } from '../../lib/index.js'
import { failure } from '../helpers/guard.js'
import { scratch, version } from '../helpers/scratch.js'

const booted = readFileSync('/proc/cmdline', 'utf8')
const withOption = (option: string) => ({
  skip: booted.includes(option) ? false : `without ${option}`,
})

t.test('no memory controller', withOption('cgroup_disable=memory'), async t => {
  const report = await probe()
  t.match(report, { version: null, mount: null, self: null })
  const why = { available: false, reason: /cgroup_disable=memory/, remedy: /boot without/ }
  for (const field of ['memory', 'writable', 'watch', 'guard', 'swap'] as const) {
    t.match(report[field], why, field)
  }
  t.match(report.addon, { available: true })
  const refused = { name: 'OomError', code: 'ERR_CGROUP_UNSUPPORTED', message: /cgroup_disable/ }
  t.match(await failure(MemoryGroup.open('x')), refused)
  t.match(await failure(MemoryGroup.create('x')), refused)
  t.match(await failure(MemoryGroup.of('self')), refused)
  t.match(await failure(MemoryGroup.open('/sys/fs/cgroup')), { code: 'ERR_NOT_A_MEMORY_CGROUP' })
})

t.test('no swap accounting', withOption('swapaccount=0'), async t => {
  t.match((await probe()).swap, { available: false, remedy: /swapaccount=1/ })
  if (version !== 2) return
  await using group = await MemoryGroup.open(scratch(t))
  t.notOk('swapMax' in (await group.limits()))
  t.match(await failure(group.setLimits({ swapMax: 0 })), {
    code: 'ERR_CGROUP_UNSUPPORTED',
    message: /swapaccount=1/,
  })
})
