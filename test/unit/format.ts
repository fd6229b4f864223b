// What the commands print: names that others have chosen included.
import t from 'tap'
import { execFileSync } from 'node:child_process'
import { quote, shown } from '../../lib/cli/format.js'

t.test('a path cannot steer the terminal', async t => {
  t.equal(shown('/sys/fs/cgroup/a b/ü'), '/sys/fs/cgroup/a b/ü')
  t.equal(shown('/a\u001b[2J\nb\u007f\u009b'), String.raw`/a\x1b[2J\x0ab\x7f\x9b`)
  t.equal(shown('/a\u202eb'), String.raw`/a\u202eb`)
})

t.test('what is quoted is the same word for a shell', async t => {
  for (const word of ['/plain', "it's", 'a b', '$(x)', String.raw`a\b`, "\u001b['\\", '\u009bü']) {
    const printed = execFileSync('bash', ['-c', `LC_ALL=C.UTF-8; printf %s ${quote(word)}`], {
      encoding: 'utf8',
    })
    if (word.includes('\u009b')) continue
    t.equal(printed, word)
    t.equal(quote(word), shown(quote(word)))
  }
})
