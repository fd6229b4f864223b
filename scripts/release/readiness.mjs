// What a maintainer has to do before this version can be published: { faults, waiting }, a line each. A fault is wrong
// at any time, what is waiting is right until the day of the release.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { must, root, run } from '../run.mjs'
import { judgeChangelog } from './changelog.mjs'

const git = async (...args) => (await must('git', args)).trim()

/** Whether the version has been tagged at another commit; in CI the tag is there, at this one. */
async function tagged(tag) {
  const { ok, output } = await run('git', ['rev-parse', '--verify', '-q', `${tag}^{commit}`])
  return ok && output.trim() !== (await git('rev-parse', 'HEAD'))
}

export async function readiness({ version, repository }, today) {
  const changelog = readFileSync(join(root, 'CHANGELOG.md'), 'utf8')
  const { faults, waiting } = judgeChangelog(changelog, version, today)
  const changed = await git('status', '--porcelain')
  const all = {
    faults: faults.map(fault => `CHANGELOG.md: ${fault}`),
    waiting: waiting.map(fault => `CHANGELOG.md: ${fault}`),
  }
  if (changed !== '') {
    const count = changed.split('\n').length
    all.waiting.push(`git: the tree has changes (${count}), and what is committed is built`)
  }
  if (await tagged(`v${version}`)) {
    all.waiting.push(`git: v${version} is another commit already: raise the version`)
  }
  if (repository === undefined) {
    all.waiting.push(
      'package.json: no repository, which provenance has to name, and by which the page of the registry ' +
        'finds what README.md links to',
    )
  }
  return all
}
