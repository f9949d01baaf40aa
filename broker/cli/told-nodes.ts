// What the other nodes of a cluster did, for commands that are for all of them.
import type { NodeEnded } from '../cluster/cluster-status.ts'

/** Of a broker that is alone, none. */
export interface Outcome {
  readonly ended: number
  readonly others: readonly NodeEnded[]
}

/** On all nodes. */
export function connectionsEnded({ ended, others }: Outcome): string {
  const all = endedOnAll({ ended, others })
  return `${all} ${all === 1 ? 'connection' : 'connections'} ended`
}

export function endedOnAll({ ended, others }: Outcome): number {
  return others.reduce((sum, other) => sum + other.ended, ended)
}

/** Says on stderr which nodes were not told, and what that means. */
export function warnOfUntold(others: readonly NodeEnded[], means: string): void {
  for (const { node, problem } of others) {
    if (problem !== undefined) process.stderr.write(`node ${node} was not told, ${means}: ${problem}\n`)
  }
}
