// The completion of shells, typed at a terminal of each shell that this machine has, and the page of man(1).
import t, { type Test } from 'tap'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { COMMANDS, OVERVIEW } from '../../lib/cli/commands.js'
import { rowsOf, SHELLS } from '../../lib/cli/completion/rows.js'
import { PROGRAMS } from '../../lib/cli/completion/shells.js'
import { until } from '../helpers/scratch.js'

t.setTimeout(300_000)

type Shell = (typeof SHELLS)[number]

const has = (program: string): boolean =>
  spawnSync('sh', ['-c', 'command -v "$0"', program]).status === 0

t.test('every option of every help text is known, with what may follow it', async t => {
  const all = COMMANDS.map(rowsOf)
  for (const [i, { name, rows }] of all.entries()) {
    const { help } = COMMANDS[i]!
    const written = [...help.matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, option]) => option)
    t.strictSame(
      rows.map(({ option }) => option),
      written,
      name,
    )
    for (const { option, text } of rows) t.match(text, /^\S.{3,}\S$/, `${name} ${option}`)
    t.match(OVERVIEW, new RegExp(`^  ${name} +\\S`, 'm'))
  }
  const rests = Object.fromEntries(all.map(({ name, rest }) => [name, rest]))
  t.strictSame(rests, {
    doctor: 'unknown',
    rescue: 'groups',
    watch: 'groups',
    guard: 'groups',
    run: 'command',
    report: 'files',
    completion: ['bash', 'zsh', 'fish'],
  })
  const run = all.find(({ name }) => name === 'run')!.rows
  const values = Object.fromEntries(run.map(({ option, values }) => [option, values]))
  t.strictSame(values['--quiet'], undefined)
  t.strictSame(values['--parent'], 'groups')
  t.strictSame(values['--max'], 'unknown')
  t.strictSame(values['--fallback'], ['kernel', 'kill-largest', 'kill-newest', 'kill-group'])
  t.equal(run.find(({ option }) => option === '--json')!.optional, true)
})

// Each starts the shell without a user's settings, and has it load the file "$0".
const START: Record<Shell, string> = {
  bash: 'bash --norc --noprofile -i',
  zsh: 'zsh -f -i',
  fish: 'fish --no-config -i',
}
// The prompt in two parts: what the terminal echoes of this is no prompt. The command prints its words.
const LOAD: Record<Shell, (file: string) => string> = {
  bash: file =>
    `PS1='rea''dy>'; source ${file}; cgroup-oom() { printf '[%s]' "$@"; echo; }; bind 'set bell-style none'`,
  zsh: file =>
    `PS1='rea''dy>'; autoload -U compinit; compinit -D -u; source ${file}; cgroup-oom() { printf '[%s]' "$@"; echo; }`,
  fish: file =>
    `source ${file}; function cgroup-oom; printf '[%s]' $argv; echo; end; function fish_prompt; echo -n 'rea''dy>'; end`,
}

/** A shell at a terminal of its own; `type` waits until the terminal shows something. */
async function terminal(t: Test, shell: Shell, home: string) {
  const file = join(home, `completion.${shell}`)
  writeFileSync(file, PROGRAMS[shell](COMMANDS.map(rowsOf)))
  const env = {
    PATH: process.env.PATH,
    HOME: home,
    TERM: 'dumb',
    COLUMNS: '300',
    LC_ALL: 'C.UTF-8',
  }
  const child = spawn('script', ['-qfec', START[shell], '/dev/null'], { cwd: home, env })
  const ended = once(child, 'close')
  let output = ''
  child.stdout.on('data', data => (output += String(data)))
  t.teardown(async () => {
    child.stdin.end('exit\n')
    await ended
  })
  const type = async (keys: string, shown: string) => {
    output = ''
    child.stdin.write(keys)
    const patience = performance.now() + 60_000
    await until(() => output.includes(shown) || performance.now() > patience)
    if (!output.includes(shown)) throw new Error(`no "${shown}" in ${JSON.stringify(output)}`)
    t.pass(shown)
  }
  await type(`${LOAD[shell](file)}\n`, 'ready>')
  return type
}

for (const shell of SHELLS) {
  const skip = !has(shell) || !has('script') ? `no ${shell}, or no script(1)` : false
  t.test(`${shell} completes`, { skip }, async t => {
    const home = mkdtempSync(join(tmpdir(), 'cgroup-oom-completion-'))
    t.teardown(() => rmSync(home, { recursive: true }))
    mkdirSync(join(home, 'some-group'))
    writeFileSync(join(home, 'episodes.jsonl'), '')
    const type = await terminal(t, shell, home)

    // Commands and options, and the words that an option takes.
    await type('cgroup-oom ru\t', 'run ')
    await type('--fallb\t', '--fallback ')
    await type('kill-n\t', 'kill-newest ')
    // Behind "--" another command is completed.
    await type('-- cgroup-o\t', 'cgroup-oom ')
    // Its own words are too, in bash by the package bash-completion alone.
    await type(shell === 'bash' ? 'watch ' : 'wat\t', 'watch ')
    await type('\n', '[run][--fallback][kill-newest][--][cgroup-oom][watch]')

    await type('cgroup-oom rescue --rec\t', '--recursive ')
    await type(`${home}/some-g\t`, 'some-group/')
    // zsh takes the slash away again.
    await type('\n', `[rescue][--recursive][${home}/some-group${shell === 'zsh' ? '' : '/'}]`)

    await type('cgroup-oom report --svg episo\t', 'episodes.jsonl ')
    await type('episo\t', 'episodes.jsonl ')
    await type('\n', '[report][--svg][episodes.jsonl][episodes.jsonl]')

    await type('cgroup-oom completion fi\t', 'fish ')
    await type('\n', '[completion][fish]')
  })
}

t.test('the page of man(1) is as it is made, and well-formed', async t => {
  t.doesNotThrow(() => execFileSync(process.execPath, ['scripts/man-page.mjs', '--check']))
  const page = readFileSync('man/cgroup-oom.1', 'utf8')
  for (const { name, help } of COMMANDS) {
    const section = page.split(/^\.SS /m).find(part => part.startsWith(`${name}\n`))!
    for (const [, option] of help.matchAll(/^ {2}(--[a-z-]+)/gm)) {
      t.match(section, `${option!.replaceAll('-', '\\-')}`, `${name} ${option}`)
    }
  }
  t.test('mandoc finds no fault', { skip: !has('mandoc') && 'no mandoc' }, async t => {
    const { stdout } = spawnSync('mandoc', ['-Tlint', '-Wwarning', 'man/cgroup-oom.1'], {
      encoding: 'utf8',
    })
    // A page without a date is the same whenever it is made.
    t.match(stdout, /^(mandoc: \S+ WARNING: missing date, using "": TH\n)?$/)
  })
})
