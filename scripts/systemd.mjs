// `npm run test:systemd`: test/kernel/systemd/ in a machine of the lab whose process 1 is Debian's systemd.
import { join } from 'node:path'
import { Archive } from '../lab/cpio.mjs'
import { Lab } from '../lab/machine.mjs'
import { addPackages, addUnit, optionsFor, SYSTEMD, unpacked } from '../lab/systemd.mjs'
import { fail, root } from './run.mjs'

const KERNEL = '6.1'
const SECONDS = 900
// A user's manager: its session's bus, and what PAM would set up.
const USER = ['libpam-systemd', 'dbus-user-session']
// For /usr/bin/env, which is not busybox's.
const TOOLS = ['coreutils']
const PAM =
  'auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\nsession optional pam_systemd.so\n'

try {
  const lab = new Lab()
  const { directory, version } = await unpacked(join(root, '.cache/systemd'), 'systemd', [
    ...SYSTEMD,
    ...USER,
    ...TOOLS,
  ])
  const archive = new Archive()
  addUnit(archive, 'units', {
    unit: ['Wants=systemd-logind.service', 'After=systemd-logind.service'],
    users: [['user', 1000]],
    env: { OOM_SYSTEMD: '1', TAP_TIMEOUT: '600' },
    script: '/usr/bin/node test/kernel/systemd/units.js',
  })
  // Before the packages: the first of a name counts.
  for (const name of ['systemd-user', 'other']) archive.file(`etc/pam.d/${name}`, PAM)
  addPackages(archive, directory)
  const kernel = await lab.kernel(KERNEL)
  console.log(`systemd ${version} on ${kernel.release}`)
  const { status, console: log } = await lab.run({
    kernel,
    version: 'v2',
    argv: ['/bin/true'],
    seconds: SECONDS,
    archive: archive.bytes(),
    options: optionsFor('units'),
    output: data => process.stdout.write(data),
  })
  if (status !== 0) fail(`systemd: ${status}\n${log}`)
} catch (error) {
  fail(`systemd: ${error.message}`)
}
