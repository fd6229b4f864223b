// Metrics: what OomMetrics (lib/metrics/metrics.ts) gives to a monitoring system.

/** `'counter'`: never decreases. `'gauge'`: may. */
export type MetricType = 'counter' | 'gauge'

/** A metric without its values; docs/metrics.md lists all of them. */
export interface MetricDescription {
  /** As Prometheus has it: `cgroup_oom_episodes_total`. */
  name: string
  /** Its meaning, in a sentence. */
  help: string
  type: MetricType
  /** The names of its labels. */
  labels: readonly string[]
}

/** One value of a metric. */
export interface MetricSample {
  /** A value for each of {@link MetricDescription.labels}. */
  labels: Record<string, string>
  /** In base units: bytes, seconds. `Infinity` for no limit. */
  value: number
}

/** A metric and its values at the time of `collect()`. */
export interface MetricFamily extends MetricDescription {
  /** Empty where nothing has such a value. */
  samples: MetricSample[]
}

export interface MetricsOptions {
  /** How many groups have series of their own; integer, 1 to 10000. Default 200. */
  maxGroups?: number | undefined
}
