// What a release demands of the changelog, how two builds are compared, and the versions of its site.
import t from 'tap'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

type Digests = [file: string, digest: string][]

const script = (name: string): Promise<unknown> =>
  import(pathToFileURL(`scripts/release/${name}.mjs`).href)
const { judgeChangelog } = (await script('changelog')) as {
  judgeChangelog: (
    text: string,
    version: string,
    today: string,
  ) => { faults: string[]; waiting: string[] }
}
const { differing } = (await script('build')) as {
  differing: (one: Digests, two: Digests) => string[]
}

const TODAY = '2026-12-01'
const page = (...sections: string[]): string => ['# Changelog\n', ...sections].join('\n')
const judge = (text: string) => judgeChangelog(text, '0.1.0', TODAY)
const OLDER = '## 0.0.9 - 2026-01-31\n\n### Fixed\n\n- a fault\n'

t.test('a section with a date and an entry can be published', async t => {
  const nothing = { faults: [], waiting: [] }
  t.strictSame(judge(page('## 0.1.0 - 2026-12-01\n\n### Added\n\n- a thing\n', OLDER)), nothing)
  t.strictSame(judge(page('## 0.1.0 - 2026-11-30\n\n* a thing\n')), nothing)
})

t.test('one without a date, or of a day to come, waits', async t => {
  for (const when of ['Unreleased', '2026-12-02']) {
    const { faults, waiting } = judge(page(`## 0.1.0 - ${when}\n\n- a thing\n`, OLDER))
    t.strictSame(faults, [], when)
    t.equal(waiting.length, 1, when)
  }
})

t.test('what is missing, empty, out of order or no date is a fault', async t => {
  const entry = '\n\n- a thing\n'
  for (const [text, fault] of [
    [page(OLDER), /no section of 0\.1\.0/],
    [page(`## 0.1.0-rc.1 - 2026-11-30${entry}`), /no section of 0\.1\.0/],
    [page('## 0.1.0 - 2026-11-30\n\n### Added\n', OLDER), /has no entry/],
    [page(OLDER, `## 0.1.0 - 2026-11-30${entry}`), /below that of 0\.0\.9/],
    [page(`## 0.1.0 - soon${entry}`), /has no date but "soon"/],
    [page(`## 0.1.0 - 2026-13-01${entry}`), /has no date but/],
    [page(`## 0.1.0${entry}`), /has no date but/],
  ] as const) {
    const { faults } = judge(text)
    t.equal(faults.length, 1, text)
    t.match(faults[0], fault)
  }
})

t.test('two builds differ in what is in one alone, or is not the same', async t => {
  const one: Digests = [
    ['a', '1'],
    ['b', '2'],
    ['c', '3'],
  ]
  t.strictSame(differing(one, one), [])
  const two: Digests = [
    ['a', '1'],
    ['b', '0'],
    ['d', '4'],
  ]
  t.strictSame(differing(one, two), ['b', 'c', 'd'])
})

t.test("the site's versions", async t => {
  const { versions, writeMenu } = (await import(
    pathToFileURL('scripts/site/versions.mjs').href
  )) as {
    versions: (names: string[]) => string[]
    writeMenu: (names: string[], at: string) => void
  }
  const names = versions(['0.9', 'index.html', '1.0', 'versions.js', '0.10', '1', 'assets'])
  t.strictSame(names, ['1.0', '0.10', '0.9'])
  const at = t.testdir()
  writeMenu(names, at)
  t.match(readFileSync(join(at, 'index.html'), 'utf8'), 'url=1.0/index.html')
  t.match(readFileSync(join(at, 'versions.js'), 'utf8'), 'VERSIONS = ["1.0","0.10","0.9"]')
})
