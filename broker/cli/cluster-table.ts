// The status of a cluster as a person reads it.
import type { ClusterStatus, NodeStatus, OutboxStatus, RedisStatus } from '../cluster/cluster-status.ts'

export function statusText({ cluster, redis, nodes }: ClusterStatus): string {
  const lines = [`cluster ${cluster}, ${redisText(redis)}`]
  for (const warning of redis.warnings) lines.push(`warning: ${warning}`)
  lines.push('', ...table([columns, ...nodes.map(row)]))
  const waiting = nodes.flatMap(({ node, report }) => (report?.outboxes ?? []).map((outbox) => ({ node, outbox })))
  const some = waiting.filter(({ outbox }) => outbox.messages > 0)
  if (some.length > 0) lines.push('', 'not taken yet:')
  for (const { node, outbox } of some) lines.push(`  ${outboxText(node, outbox)}`)
  return `${lines.join('\n')}\n`
}

const columns = ['node', 'state', 'version', 'bus', 'up', 'clients', 'sessions', 'subscriptions', 'stream', 'reference']

function row({ node, state, busVersion, report, stream, serverReference }: NodeStatus): string[] {
  const told = report === undefined ? undefined : [report.connections, report.sessions, report.subscriptions]
  return [
    node,
    report?.isDraining === true ? 'draining' : state,
    report?.version ?? '-',
    String(busVersion),
    report === undefined ? '-' : duration(report.upS),
    ...(told?.map(String) ?? ['-', '-', '-']),
    stream === undefined ? '-' : lag(stream.entries, stream.oldestS),
    serverReference ?? '-',
  ]
}

function redisText({ isUp, problem, version, latencyMs, memoryBytes, clients }: RedisStatus): string {
  if (!isUp) return `redis is away: ${problem}`
  const parts = [`redis ${version ?? ''}`.trim(), `answers in ${latencyMs} ms`]
  if (memoryBytes !== undefined) parts.push(`${mebibytes(memoryBytes)} of memory`)
  if (clients !== undefined) parts.push(`${clients} connections`)
  return parts.join(', ')
}

function outboxText(from: string, { node, messages, bytes, oldestS, isLive }: OutboxStatus): string {
  const away = isLive ? '' : ' (it is away)'
  return `${from} has ${messages} messages, ${mebibytes(bytes)}, for ${node}${away}; the oldest is ${duration(oldestS ?? 0)} old`
}

function lag(entries: number, oldestS: number | undefined): string {
  return oldestS === undefined ? String(entries) : `${entries} (${duration(oldestS)})`
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = columns.map((_, column) => Math.max(...rows.map((cells) => cells[column]!.length)))
  return rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  )
}
