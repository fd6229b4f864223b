// What CHANGELOG.md says of a version. Pure.

/**
 * { faults, waiting }: what is wrong with the section of the version, and what has to be written before it is
 * published. `today` is a date as in 2026-01-31.
 */
export function judgeChangelog(text, version, today) {
  const sections = text.split(/^## /m).slice(1)
  const titles = sections.map(section => section.split('\n')[0].trim())
  const at = titles.findIndex(title => title.split(' ')[0] === version)
  if (at < 0) return { faults: [`no section of ${version}`], waiting: [] }
  const faults = []
  const waiting = []
  if (at > 0) faults.push(`the section of ${version} is below that of ${titles[0].split(' ')[0]}`)
  if (!/^[-*] \S/m.test(sections[at])) faults.push(`the section of ${version} has no entry`)
  const when = titles[at].slice(version.length).replace(/^\s+-\s+/, '')
  if (when === 'Unreleased') {
    waiting.push(`the section of ${version} has no date: "## ${version} - ${today}"`)
  } else if (!/^\d{4}-\d\d-\d\d$/.test(when) || Number.isNaN(Date.parse(when))) {
    faults.push(`the section of ${version} has no date but "${when}"`)
  } else if (when > today) {
    waiting.push(`the section of ${version} has a date to come: ${when}`)
  }
  return { faults, waiting }
}
