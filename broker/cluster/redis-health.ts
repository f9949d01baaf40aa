// How Redis is, and what about it will cause trouble.
import type { Redis } from 'ioredis'
import type { RedisStatus } from './cluster-status.ts'

export type RedisHealth = Omit<RedisStatus, 'isUp' | 'problem'>

/** Above it Redis is near the point at which it refuses or throws away. */
const fullShare = 0.8

/** Rejects when it does not answer. */
export async function redisHealth(redis: Redis): Promise<RedisHealth> {
  const askedAt = performance.now()
  await redis.ping()
  const latencyMs = Math.round((performance.now() - askedAt) * 10) / 10
  // An ACL may forbid it.
  const fields = parseInfo(await redis.info().catch(() => ''))
  const memoryBytes = numberOf(fields.get('used_memory'))
  return {
    latencyMs,
    version: fields.get('redis_version'),
    memoryBytes,
    clients: numberOf(fields.get('connected_clients')),
    warnings: warningsOf(fields, memoryBytes),
  }
}

function warningsOf(fields: ReadonlyMap<string, string>, memoryBytes: number | undefined): readonly string[] {
  const warnings: string[] = []
  const most = numberOf(fields.get('maxmemory')) ?? 0
  const policy = fields.get('maxmemory_policy')
  if (most > 0 && policy !== undefined && policy !== 'noeviction') {
    warnings.push(`maxmemory-policy is ${policy}: Redis may throw away what nodes need; set it to noeviction`)
  }
  if (most > 0 && memoryBytes !== undefined && memoryBytes > most * fullShare) {
    warnings.push(`${Math.round((100 * memoryBytes) / most)} % of maxmemory is used`)
  }
  if (fields.get('rdb_last_bgsave_status') === 'err' || fields.get('aof_last_write_status') === 'err') {
    warnings.push('Redis cannot write to its disk')
  }
  if (fields.get('role') === 'slave') warnings.push('this is a replica: connect to the master')
  return warnings
}

function parseInfo(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  for (const line of text.split('\r\n')) {
    const at = line.indexOf(':')
    if (at > 0) fields.set(line.slice(0, at), line.slice(at + 1))
  }
  return fields
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined || text === '' || Number.isNaN(Number(text)) ? undefined : Number(text)
}
