// The nearest right word for a wrong one. Pure.

/** How many letters have to be changed, left out, put in or swapped with the next one (optimal string alignment). */
export function distance(from: string, to: string): number {
  const rows: number[][] = [Array.from({ length: to.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= from.length; i++) {
    const row = [i]
    rows.push(row)
    for (let j = 1; j <= to.length; j++) {
      const changed = rows[i - 1]![j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1)
      row.push(Math.min(changed, rows[i - 1]![j]! + 1, row[j - 1]! + 1))
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
      if (swapped) row[j] = Math.min(row[j]!, rows[i - 2]![j - 2]! + 1)
    }
  }
  return rows[from.length]![to.length]!
}

const LONGEST = 40

/** The word that was probably meant; undefined where none is near. */
export function nearest(wrong: string, words: readonly string[]): string | undefined {
  if (wrong.length > LONGEST) return undefined
  const plain = (word: string) => word.toLowerCase().replaceAll(/[-_]/g, '')
  const near = words
    .map(word => ({ word, far: distance(plain(wrong), plain(word)) }))
    .filter(({ word, far }) => far <= Math.max(1, Math.floor(word.length / 3)))
  return near.sort((a, b) => a.far - b.far)[0]?.word
}

/** ': did you mean "delay"?', or nothing. `as`: how the word is written there. */
export function meant(
  wrong: string,
  words: readonly string[],
  as: (word: string) => string = word => `"${word}"`,
): string {
  const word = nearest(wrong, words)
  return word === undefined ? '' : `: did you mean ${as(word)}?`
}
