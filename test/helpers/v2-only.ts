// Imported first by files that are about cgroup v2 alone: elsewhere none of their tests run.
import t from 'tap'
import { version } from './memory-files.js'

if (version !== 2) {
  t.plan(0, 'cgroup v2 only')
  process.exit(0)
}
