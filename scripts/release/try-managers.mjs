// The package as the users of each package manager get it: installed by its name in an empty directory, imported and
// required; its command run, and as root a job of it that runs out of memory.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root, run } from '../run.mjs'
import { MANAGERS } from './managers.mjs'

const COLUMNS = ['install', 'import', 'require', 'command', 'job out of memory']
const MOST_MS = 180_000

const CHECK = `
const wanted = [spawn, PidFd, simulate].every(one => typeof one === 'function')
probe().then(({ addon, guardian }) => {
  // Of this package, and not of another one that is found further up.
  const own = guardian.reason.includes(process.env.PLACE)
  if (!wanted || !addon.available || !guardian.available || !own) {
    throw new Error(JSON.stringify({ wanted, addon, guardian }))
  }
  console.log('loaded')
})
`
const programs = name => ({
  'app.mjs': `import { probe, spawn } from '${name}'
import { PidFd } from '${name}/primitives'
import { simulate } from '${name}/testing'
${CHECK}`,
  'app.cjs': `const { probe, spawn } = require('${name}')
const { PidFd } = require('${name}/primitives')
const { simulate } = require('${name}/testing')
${CHECK}`,
})

/** The environment without this machine's settings and caches of package managers. */
function environment(place) {
  const own = Object.entries(process.env).filter(([key]) => !/^(npm_|NODE_|BUN_|DENO_)/i.test(key))
  const home = join(place, 'home')
  return {
    ...Object.fromEntries(own),
    ...{ HOME: home, XDG_CACHE_HOME: home, XDG_DATA_HOME: home, DENO_DIR: join(home, 'deno') },
    ...{ npm_config_update_notifier: 'false', DENO_NO_UPDATE_CHECK: '1' },
    ...{ CI: 'true', NO_COLOR: '1', PLACE: place },
  }
}

/** What is tried, in the order of COLUMNS: the words of a command, and whether what it did is right. */
function tries(manager, command, { name, version, parent }) {
  const script = file => [...manager.script(command), file]
  const loaded = ({ ok, output }) => ok && output.includes('loaded')
  const program = manager.program(command, name)
  const job = ['--max', '64M', '--delay', '300', '--', 'node', '-e', 'Buffer.alloc(1e9, 1)']
  return [
    [[...command, ...manager.install(name)], ({ ok }) => ok],
    [script('app.mjs'), loaded],
    [script('app.cjs'), loaded],
    [
      [...program, '--version'],
      ({ ok, output }) => ok && output.split('\n').some(line => line.trim() === version),
    ],
    parent && [
      [...program, 'run', '--parent', parent, ...job],
      ({ code, output }) => code === 137 && output.includes('out of memory: the kernel killed'),
    ],
  ]
}

async function rowOf(manager, place, what) {
  mkdirSync(place)
  const files = {
    'package.json': () => '{ "private": true }\n',
    '.npmrc': url => `registry=${url}\n`,
    ...manager.files,
  }
  for (const [file, text] of Object.entries(files)) writeFileSync(join(place, file), text(what.url))
  for (const [file, text] of Object.entries(programs(what.name))) {
    writeFileSync(join(place, file), text)
  }
  const env = environment(place)
  const options = { cwd: place, env, timeout: MOST_MS, killSignal: 'SIGKILL' }
  const start = ([program, ...args]) => run(program, args, options)
  const command = await manager.command()
  const { output } = await start([...command, '--version'])
  const cells = [`${manager.label} ${/\d+\.\d+\.\d+/.exec(output)?.[0]}`]
  for (const [i, attempt] of tries(manager, command, what).entries()) {
    if (attempt === undefined) {
      cells.push('-')
      continue
    }
    const [words, right] = attempt
    const result = await start(words)
    cells.push(right(result) ? 'ok' : 'FAILED')
    if (cells.at(-1) === 'ok') continue
    console.error(`${manager.label}, ${COLUMNS[i]}: ${words.join(' ')}: status ${result.code}`)
    console.error(result.output)
  }
  return cells
}

/** The rows of a table. What: the package's name and version, and the registry's url. */
export async function tryManagers(directory, what) {
  const { MemoryGroup } = await import(join(root, 'dist/esm/lib/index.js'))
  // Where no group can be made no job is run.
  const group = await MemoryGroup.create(`cgroup-oom-test-${process.pid}`).catch(() => undefined)
  const rows = [['package manager', ...COLUMNS]]
  try {
    for (const [i, manager] of MANAGERS.entries()) {
      const place = join(directory, `manager-${i}`)
      rows.push(await rowOf(manager, place, { ...what, parent: group?.path }))
    }
  } finally {
    await group?.remove({ kill: true })
  }
  return rows
}
