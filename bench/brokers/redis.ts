// A redis-server for the nodes of a cluster, and what it was asked to do.
import { Redis } from 'ioredis'
import { scratchFolder } from '../places.ts'
import { cores, findProgram, freePort, startPinned, Unavailable } from '../programs.ts'
import type { Scope } from '../scope.ts'

export interface RunningRedis {
  readonly port: number
  readonly pid: number
  /** Of all commands for messages since it was asked last; what nodes tell each other once a second is left out. */
  cost(): Promise<RedisCost>
}

export interface RedisCost {
  readonly commands: number
  readonly us: number
}

/** Leases, checks, what this bench asks itself: they come with time, not with messages. */
const ofTime = new Set([
  'ping',
  'eval',
  'evalsha',
  'info',
  'config|resetstat',
  'client|setname',
  'get',
  'hgetall',
  'pexpire',
  'set',
])

export async function startRedis(scope: Scope): Promise<RunningRedis> {
  const program = findProgram('redis-server')
  if (program === undefined)
    throw new Unavailable('redis-server is not here; on Debian: sudo apt-get install redis-server')
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', await scratchFolder(scope), '--save', '']
  const started = startPinned(scope, program, args, { core: cores.generator })
  await started.printed(/Ready to accept connections/)
  const redis = new Redis(port)
  scope.after(() => redis.disconnect())
  return {
    port,
    pid: started.pid,
    async cost() {
      const cost = sumOf(await redis.info('commandstats'))
      await redis.config('RESETSTAT')
      return cost
    },
  }
}

function sumOf(info: string): RedisCost {
  let commands = 0
  let us = 0
  for (const [, name = '', calls, usec] of info.matchAll(/^cmdstat_(\S+):calls=(\d+),usec=(\d+)/gm)) {
    if (ofTime.has(name)) continue
    commands += Number(calls)
    us += Number(usec)
  }
  return { commands, us }
}
