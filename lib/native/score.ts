// native/binding/score.cc as TypeScript sees it.
export interface ScoreBinding {
  /** Sets this process's oom_score_adj. A number for `undoScore`. */
  setScore(value: number): number
  undoScore(id: number): void
  /** What the process had before the first call that is in force; undefined: none is. */
  scoreBefore(): number | undefined
  /** Throws EACCES where a child may not start with this value. */
  mayStartWith(value: number): void
}
