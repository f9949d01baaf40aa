// The lease of a node in Redis, and who else has one: one script that takes or renews it and reads all the others.
import type { Redis } from 'ioredis'
import { busVersion, type Member } from './meeting.ts'
import type { Seal } from './seal.ts'

/** After this time without a renewal the node counts as dead. */
export const leaseMs = 5_000

/**
 * KEYS: lease of this node, hash of all nodes. ARGV: name, store id, run, version, value, time in ms, 'take' or 'renew',
 * what stands before the name in the key of a lease. The leases of the others are in the same hash slot.
 * A value begins with version, store id and run, also in other versions. Keys of another kind count as missing.
 */
const meetScript = `
local function get(key)
  local value = redis.pcall('GET', key)
  return type(value) == 'string' and value
end
local held = get(KEYS[1])
if held then
  local storeId, run = string.match(held, '^%d+ (%d+) (%x+) ')
  if storeId and storeId ~= ARGV[2] then return {'taken', held} end
  if run and run ~= ARGV[3] and ARGV[7] ~= 'take' then return {'lost', held} end
end
local known = redis.pcall('HGETALL', KEYS[2])
if known.err then
  redis.call('DEL', KEYS[2])
  known = {}
end
local fresh = '1'
local answer = {'ok', '', held and '0' or '1'}
for i = 1, #known, 2 do
  if known[i] == ARGV[1] then
    fresh = '0'
  else
    local lease = get(ARGV[8] .. known[i])
    if ARGV[7] == 'take' and lease then
      local version = string.match(lease, '^(%d+) ')
      if version and version ~= ARGV[4] then return {'version', lease, known[i]} end
    end
    answer[#answer + 1] = known[i]
    answer[#answer + 1] = known[i + 1]
    answer[#answer + 1] = lease or ''
  end
end
answer[2] = fresh
if fresh == '1' then redis.call('HDEL', KEYS[3], ARGV[1]) end
redis.call('SET', KEYS[1], ARGV[5], 'PX', ARGV[6])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[5])
return answer
`

const leaveScript = `
local held = redis.call('GET', KEYS[1])
if held and string.match(held, '^%d+ %d+ (%x+) ') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`

/** Who is missing in the hash was forgotten only if it says so: a Redis that lost it says nothing. */
const forgetScript = `
if redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
redis.call('HSET', KEYS[3], ARGV[1], '1')
return redis.call('HDEL', KEYS[2], ARGV[1])
`

/** KEYS: hash of all nodes, those that were forgotten. ARGV: name and value in turn. Returns who was forgotten. */
const restoreScript = `
local gone = {}
for i = 1, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[2], ARGV[i]) == 1 then gone[#gone + 1] = ARGV[i]
  else redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
return gone
`

export type Met =
  | {
      readonly outcome: 'ok'
      /** Redis did not know this node: it is new, or Redis lost its data. */
      readonly fresh: boolean
      /** There was no lease to renew. */
      readonly lapsed: boolean
      readonly others: readonly Other[]
      /** Names of nodes whose record is not under our key. */
      readonly foreign: readonly string[]
    }
  /** The name belongs to another store, to another run of this store, or a live node has another version. */
  | { readonly outcome: 'taken' | 'lost' }
  | { readonly outcome: 'version'; readonly node: string; readonly version: string }

export interface Other {
  readonly known: Member
  /** Undefined: it has no lease now. */
  readonly live: Member | undefined
}

export interface Lease {
  /** `take`: at the start, also from a former run of the same store. */
  meet(redis: Redis, mode: 'take' | 'renew'): Promise<Met>
  /** Puts back what Redis lost, without touching what is there. Resolves with those that were forgotten instead. */
  restore(redis: Redis, members: readonly Member[]): Promise<readonly string[]>
  leave(redis: Redis): Promise<void>
  /** False: it is alive. */
  forget(redis: Redis, node: string): Promise<boolean>
}

export function createLease(self: Member, seal: Seal, key: (...parts: string[]) => string): Lease {
  const leaseKey = (node: string): string => key('node', node)
  const nodesKey = key('nodes')
  const forgottenKey = key('forgotten')
  return {
    async meet(redis, mode) {
      const { node, storeId, run } = self
      const value = writeValue(self, seal)
      const identity = [node, String(storeId), run, String(busVersion)]
      const rest = [value, String(leaseMs), mode, leaseKey('')]
      const answer = await redis.eval(meetScript, 3, leaseKey(node), nodesKey, forgottenKey, ...identity, ...rest)
      return readAnswer(answer as string[], seal)
    },
    async restore(redis, members) {
      const values = members.flatMap((member) => [member.node, writeValue(member, seal)])
      return (await redis.eval(restoreScript, 2, nodesKey, forgottenKey, ...values)) as string[]
    },
    async leave(redis) {
      await redis.eval(leaveScript, 1, leaseKey(self.node), self.run)
    },
    async forget(redis, node) {
      return Number(await redis.eval(forgetScript, 3, leaseKey(node), nodesKey, forgottenKey, node)) >= 0
    },
  }
}

function readAnswer([outcome, second = '', third = '', ...rest]: readonly string[], seal: Seal): Met {
  if (outcome === 'version') return { outcome, node: third, version: second.split(' ')[0] ?? '' }
  if (outcome !== 'ok') return { outcome: outcome === 'lost' ? 'lost' : 'taken' }
  const others: Other[] = []
  const foreign: string[] = []
  for (let at = 0; at + 2 < rest.length; at += 3) {
    const node = rest[at] ?? ''
    const live = readValue(node, rest[at + 2] ?? '', seal)
    const known = live ?? readValue(node, rest[at + 1] ?? '', seal)
    if (known === undefined) foreign.push(node)
    else others.push({ known, live })
  }
  return { outcome, fresh: second === '1', lapsed: third === '1', others, foreign }
}

function writeValue({ node, storeId, run, busVersion: version, serverReference }: Member, seal: Seal): string {
  const body = JSON.stringify({ serverReference })
  const words = `${version} ${storeId} ${run} `
  const tag = seal.seal([node, words], Buffer.from(body)).subarray(0, -Buffer.byteLength(body))
  return `${words}${tag.toString('hex')} ${body}`
}

function readValue(node: string, value: string, seal: Seal): Member | undefined {
  const found = /^((\d{1,10}) (\d{1,16}) ([0-9a-f]{16}) )([0-9a-f]{32}) (.*)$/s.exec(value)
  if (found === null) return undefined
  const [, words = '', version, storeId, run = '', tag = '', body = ''] = found
  const opened = seal.open([node, words], Buffer.concat([Buffer.from(tag, 'hex'), Buffer.from(body)]))
  if (opened === undefined) return undefined
  const { serverReference } = JSON.parse(opened.toString()) as { serverReference?: string }
  return { node, storeId: Number(storeId), run, busVersion: Number(version), serverReference }
}
