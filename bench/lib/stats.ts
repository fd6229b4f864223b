// Medians and quantiles, and how they are written.

export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return NaN
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.ceil(q * sorted.length) - 1]!
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)
export const p99 = (values: readonly number[]): number => quantile(values, 0.99)

/** Where the median of what they are a sample of lies, at 95 %: by order statistics, of any distribution. */
export function medianWithin(values: readonly number[]): [low: number, high: number] {
  const n = values.length
  const sorted = [...values].sort((a, b) => a - b)
  const k = Math.max(Math.floor((n - 1.96 * Math.sqrt(n)) / 2) - 1, 0)
  return [sorted[k] ?? NaN, sorted[n - 1 - k] ?? NaN]
}

export const us = (ns: number): string => `${(ns / 1000).toFixed(1)} µs`
export const ms = (ns: number): string => `${(ns / 1e6).toFixed(3)} ms`
export const signed = (text: string): string => (text.startsWith('-') ? text : `+${text}`)
export const ratio = (value: number, floor: number): string => `${(value / floor).toFixed(2)}×`

export function shuffled<T>(values: readonly T[]): T[] {
  const result = [...values]
  for (let i = result.length - 1; i > 0; i--) {
    const k = Math.floor(Math.random() * (i + 1))
    ;[result[i], result[k]] = [result[k]!, result[i]!]
  }
  return result
}
