// Metrics: what OomMetrics (lib/metrics/metrics.ts) gives to a monitoring system.

export type MetricType = 'counter' | 'gauge'

export interface MetricDescription {
  /** As Prometheus has it: `cgroup_oom_episodes_total`. */
  name: string
  help: string
  type: MetricType
  /** The names of its labels. */
  labels: readonly string[]
}

export interface MetricSample {
  labels: Record<string, string>
  /** In base units: bytes, seconds. `Infinity` for no limit. */
  value: number
}

export interface MetricFamily extends MetricDescription {
  samples: MetricSample[]
}

export interface MetricsOptions {
  /** How many groups have series of their own; integer, 1 to 10000. Default 200. */
  maxGroups?: number
}
