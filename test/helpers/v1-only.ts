// Imported first by files that are about cgroup v1 alone: elsewhere none of their tests run.
import t from 'tap'
import { version } from './memory-files.js'

if (version !== 1) {
  t.plan(0, 'cgroup v1 only')
  process.exit(0)
}
