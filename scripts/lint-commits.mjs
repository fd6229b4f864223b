// The rule for commits: a subject of at most 72 characters, an empty line, a body that gives the reason.
// Without arguments: all commits since BASE, for lint. `--message FILE`: one, for scripts/hooks/commit-msg.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fail, root } from './run.mjs'

const BASE = '3892411' // the last commit from before the rule
const MOST = 72

/** What is wrong with a message. `final`: it is to stay, so it may not be one that a rebase will fold. */
function faults(message, final) {
  const [subject, second, ...body] = message.split('\n')
  const found = []
  if (!final && /^(fixup|squash|amend)! /.test(subject)) return found
  if (subject.length > MOST) found.push(`its subject has ${subject.length} of ${MOST} characters`)
  if (/\bwip\b|^(fixup|squash|amend)!/i.test(subject)) found.push('it is not finished')
  if (second?.trim() || !body.some(line => line.trim()))
    found.push('it has no body with the reason')
  return found
}

const git = (...args) => spawnSync('git', args, { cwd: root, encoding: 'utf8' })

const [option, file] = process.argv.slice(2)
if (option === '--message') {
  const text = readFileSync(file, 'utf8').replace(/^# -+ >8 -+[^]*/m, '')
  const message = text.replace(/^#.*\n?/gm, '').trim()
  const merge = git('rev-parse', '-q', '--verify', 'MERGE_HEAD').status === 0
  const found = merge ? [] : faults(message, false)
  if (found.length > 0) fail(`This message breaks a rule of CONTRIBUTING.md: ${found.join('; ')}`)
} else if (git('cat-file', '-e', `${BASE}^{commit}`).status !== 0) {
  console.log('commits: no history here to check')
} else {
  const { stdout } = git('log', '--no-merges', '-z', '--format=%h%n%B', `${BASE}..HEAD`)
  const commits = stdout.split('\0').filter(Boolean)
  const bad = commits.flatMap(text => {
    const [, hash, message] = /^(\w+)\n([^]*)$/.exec(text)
    return faults(message.trim(), true).map(fault => `${hash} ${message.split('\n')[0]}: ${fault}`)
  })
  if (bad.length > 0) fail(bad.join('\n'))
  console.log(`commits: ${commits.length}`)
}
