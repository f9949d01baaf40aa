// `node --expose-gc dist/bench/interest-size.js [FILTERS]`: what one filter of another node costs, in this process and in Redis.
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { InterestTable } from '../broker/cluster/interest-table.ts'
import { interestText } from '../broker/cluster/interest-value.ts'
import { freePort } from './programs.ts'

const filters = Number(process.argv[2] ?? 1_000_000)
const value = interestText({ filter: '', qos: 1, groups: [] })

console.log(`${filters} filters of about 24 characters, each of one node`)
memoryOf('exact topics', (n) => `im/u/user${String(n).padStart(7, '0')}/inbox`)
memoryOf('one wildcard', (n) => `im/u/user${String(n).padStart(7, '0')}/#`)
timeOf()
await redisOf()

function memoryOf(name: string, filterOf: (n: number) => string): void {
  const before = heapBytes()
  const table = new InterestTable()
  for (let n = 0; n < filters; n += 1) table.set('another', filterOf(n), value)
  const each = (heapBytes() - before) / filters
  console.log(`${name}: ${each.toFixed(0)} bytes of this process each (${table.size} in the table)`)
}

/** Topics that were not asked for before, as the memory of answers would hide the walk. */
function timeOf(): void {
  const table = new InterestTable()
  for (let n = 0; n < filters; n += 1) table.set(`node${n % 99}`, `im/u/user${n}/#`, value)
  const asked = 100_000
  const startedAt = performance.now()
  for (let n = 0; n < asked; n += 1) table.match(`im/u/user${(n * 7) % filters}/x${n}`)
  console.log(`match of a topic: ${(((performance.now() - startedAt) / asked) * 1000).toFixed(1)} µs`)
}

async function redisOf(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'oriole-interest-'))
  const port = await freePort()
  const server = spawn('redis-server', ['--port', String(port), '--dir', folder, '--save', ''], { stdio: 'ignore' })
  const redis = new Redis(port)
  try {
    const before = await usedBytes(redis)
    for (let n = 0; n < filters; n += 1_000) {
      const fields = Array.from({ length: 1_000 }, (_, index) => [`im/u/user${n + index}/#`, value] as const)
      await redis.hset('interest', new Map(fields))
    }
    console.log(`in Redis: ${(((await usedBytes(redis)) - before) / filters).toFixed(0)} bytes each`)
  } finally {
    redis.disconnect()
    server.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  }
}

async function usedBytes(redis: Redis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
}

function heapBytes(): number {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
