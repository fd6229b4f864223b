// Reads a test file's output: its tests (not the assertions within), and why it failed.

/** { passed, failed, skipped, reasons } of one file. */
export function results({ file, status, output }) {
  const lines = output.split('\n')
  const tests = lines.filter(line => /^(not )?ok \d+/.test(line))
  const skipped = tests.filter(line => / # (SKIP|TODO)\b/i.test(line))
  const bad = tests.filter(line => line.startsWith('not ') && !skipped.includes(line))
  const plan = lines.find(line => /^1\.\.\d+/.test(line))
  const wholly = plan !== undefined && /^1\.\.0\b/.test(plan)
  const reasons = bad.map(line => line.replace(/^not ok \d+ - /, ''))
  const planned = Number(plan?.slice(3).match(/^\d+/)?.[0])
  // Killed, ended half-way, or a failure outside of any test.
  if (bad.length === 0 && (status !== 0 || (!wholly && planned !== tests.length))) {
    reasons.push(`ended with ${status} after ${tests.length} tests`)
  }
  return {
    file,
    passed: tests.length - skipped.length - bad.length,
    failed: reasons.length,
    skipped: skipped.length + (wholly ? 1 : 0),
    reasons,
    why: lines.filter(line => / # SKIP\b/i.test(line)).map(line => line.trim()),
  }
}
