// Puts the text of the files that docs/recipes.md shows into it: below "<!-- file: PATH -->" stands a block with all
// of it. `--check`: fails where it is another one. `npm run docs:recipes`
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fail, root } from './run.mjs'

const file = join(root, 'docs/recipes.md')
const page = readFileSync(file, 'utf8')
const made = page.replace(
  /^(<!-- file: (.+) -->\n```\w+\n)[^]*?^(```)$/gm,
  (_, head, path, end) => `${head}${readFileSync(join(root, path), 'utf8')}${end}`,
)

if (process.argv[2] !== '--check') writeFileSync(file, made)
else if (page !== made) fail('docs/recipes.md is stale: npm run docs:recipes')
