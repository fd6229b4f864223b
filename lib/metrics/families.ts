// The metrics that there are: names, meanings, labels. All of them are bounded: `group` has as many values as
// OomMetrics allows, the others are words of this package.
import type { MetricDescription } from '../../types/metrics.js'

const OF_GROUP = ['group'] as const

export const FAMILIES = {
  episodes: {
    name: 'cgroup_oom_episodes_total',
    help: 'Episodes of guards that have ended, by outcome.',
    type: 'counter',
    labels: ['group', 'outcome'],
  },
  running: {
    name: 'cgroup_oom_episodes_running',
    help: 'Episodes that are running: groups that are out of memory and wait.',
    type: 'gauge',
    labels: OF_GROUP,
  },
  missed: {
    name: 'cgroup_oom_episodes_missed_total',
    help: 'Episodes whose report did not fit into the queue of a consumer that is too slow.',
    type: 'counter',
    labels: OF_GROUP,
  },
  seconds: {
    name: 'cgroup_oom_episode_seconds_total',
    help: 'Time that ended episodes have lasted.',
    type: 'counter',
    labels: OF_GROUP,
  },
  late: {
    name: 'cgroup_oom_fallback_late_max_seconds',
    help: 'The latest that a fallback has been carried out after its deadline.',
    type: 'gauge',
    labels: OF_GROUP,
  },
  guarded: {
    name: 'cgroup_oom_guarded_groups',
    help: 'Groups that are guarded now, those below included.',
    type: 'gauge',
    labels: OF_GROUP,
  },
  events: {
    name: 'cgroup_oom_events_total',
    help: 'Events of watches, by type: oom, kill, high, max, removed; overflow counts events that were lost.',
    type: 'counter',
    labels: ['group', 'type'],
  },
  usage: {
    name: 'cgroup_oom_memory_usage_bytes',
    help: 'Memory in use, page cache included.',
    type: 'gauge',
    labels: OF_GROUP,
  },
  limit: {
    name: 'cgroup_oom_memory_limit_bytes',
    help: 'The limit of the group itself; +Inf: none.',
    type: 'gauge',
    labels: OF_GROUP,
  },
  kills: {
    name: 'cgroup_oom_kernel_kills_total',
    help: "Tasks that the kernel's killer has killed in the group; begins again with each group of that name.",
    type: 'counter',
    labels: OF_GROUP,
  },
  leftOut: {
    name: 'cgroup_oom_metrics_groups_left_out',
    help: 'Groups without series of their own, since there are too many.',
    type: 'gauge',
    labels: [],
  },
} as const satisfies Record<string, MetricDescription>

export type FamilyKey = keyof typeof FAMILIES
