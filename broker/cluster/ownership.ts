// Who owns a session, as Redis knows it: `session:CLIENTID`, changed by one script, so that of any number of claims one is
// the last. The epoch grows with each claim and is at least the time of it, so that it also grows when Redis lost its data.
import type { Meeting } from './meeting.ts'
import { RedisScript } from './redis-script.ts'

/** A key outlives its session by so much; its owner writes it again more often (session-check.ts). */
const keyGraceMs = 3 * 60 * 60 * 1000

/**
 * KEYS: the session. ARGV: mode, node, store id, 'p' or 'c' (persistent or clean), username, epoch, time to live in ms,
 * 'clean' or '', for 'take' the epoch of another user's claim that may be replaced, for 'gift' the node that gives.
 * A value is: epoch, node, store id, kind, stores that owned it since the last clean start ('*': not known), username.
 * Of a store with ':NUMBER' behind it only what was published there above that number is owed (`cover`).
 */
const claimScript = new RedisScript(`
local value = redis.pcall('GET', KEYS[1])
local epoch, node, storeId, kind, owners, username
if type(value) == 'string' then
  epoch, node, storeId, kind, owners, username = string.match(value, '^(%d+) (%S+) (%d+) ([pc]) (%S+) (.*)$')
end
local mode, at = ARGV[1], tonumber(ARGV[6])
local outcome = 'new'
if epoch then
  local isOwn = node == ARGV[2] and storeId == ARGV[3]
  local not_ours = nil
  if mode == 'take' and username ~= ARGV[5] and epoch ~= ARGV[9] then not_ours = 'user' end
  if mode == 'gift' and node ~= ARGV[9] and not isOwn then not_ours = 'other' end
  if mode == 'hold' and not isOwn and username ~= ARGV[5] then not_ours = 'user'
  elseif mode == 'hold' and not isOwn and tonumber(epoch) >= at then not_ours = 'lost' end
  if not_ours then return {not_ours, epoch, epoch, node, storeId, kind, owners, username} end
  outcome = isOwn and 'own' or 'taken'
  if isOwn and mode ~= 'take' then at = math.max(at, tonumber(epoch))
  else at = math.max(at, tonumber(epoch) + 1) end
end
local since = owners or '*'
if ARGV[8] == 'clean' then since = ARGV[3]
elseif since ~= '*' and not string.find(',' .. since .. ',', ',' .. ARGV[3] .. ',', 1, true) then
  since = since .. ',' .. ARGV[3]
end
local now = string.format('%.0f', at)
redis.call('SET', KEYS[1], table.concat({now, ARGV[2], ARGV[3], ARGV[4], since, ARGV[5]}, ' '), 'PX', ARGV[7])
return {outcome, now, epoch or '', node or '', storeId or '', kind or '', owners or '', username or ''}
`)

/** KEYS: the session. ARGV: node, store id, epoch or ''. */
const releaseScript = new RedisScript(`
local value = redis.pcall('GET', KEYS[1])
if type(value) ~= 'string' then return 0 end
local epoch, node, storeId = string.match(value, '^(%d+) (%S+) (%d+) ')
if node ~= ARGV[1] or storeId ~= ARGV[2] or (ARGV[3] ~= '' and epoch ~= ARGV[3]) then return 0 end
return redis.call('DEL', KEYS[1])
`)

/** KEYS: the session. ARGV: node and store id of the owner, store id of a former one, up to where a shadow had what it had. */
const coverScript = new RedisScript(`
local value = redis.pcall('GET', KEYS[1])
if type(value) ~= 'string' then return 0 end
local epoch, node, storeId, kind, owners, username = string.match(value, '^(%d+) (%S+) (%d+) ([pc]) (%S+) (.*)$')
if node ~= ARGV[1] or storeId ~= ARGV[2] then return 0 end
local covered = {}
for owner in string.gmatch(owners, '[^,]+') do
  if string.match(owner, '^%d+') ~= ARGV[3] then covered[#covered + 1] = owner end
end
covered[#covered + 1] = ARGV[3] .. ':' .. ARGV[4]
value = table.concat({epoch, node, storeId, kind, table.concat(covered, ','), username}, ' ')
redis.call('SET', KEYS[1], value, 'KEEPTTL')
return 1
`)

export interface Owner {
  readonly epoch: number
  readonly node: string
  readonly storeId: number
  readonly isPersistent: boolean
  readonly username: string
  /** What this store still has of the session belongs to it: there was no clean start since. */
  isOwed(storeId: number): boolean
  /** Of what that store has, only what was published there above this number: a shadow had the rest. Undefined: all. */
  coveredOf(storeId: number): number | undefined
}

/**
 * `new`: nobody had it. `own`: this node had it. `taken`: from `former`. Not ours: `user`: it belongs to another user;
 * `lost`: a later claim came to `former`; `other`: not the node that gives it, and not this one, owns it.
 */
export interface ClaimAnswer {
  readonly outcome: 'new' | 'own' | 'taken' | 'user' | 'lost' | 'other'
  readonly epoch: number
  readonly former: Owner | undefined
}

export interface Claimant {
  readonly clientId: string
  readonly username: string
  readonly expiryS: number
}

export class Ownership {
  readonly #meeting: Meeting

  constructor(meeting: Meeting) {
    this.#meeting = meeting
  }

  /** For a CONNECT. `instead`: the epoch of another user's claim that is not valid any more. */
  take(claimant: Claimant, isClean: boolean, instead = ''): Promise<ClaimAnswer> {
    return this.#claim('take', claimant, Date.now(), isClean, instead)
  }

  /** It is here: says so, unless there is a later claim. */
  hold(claimant: Claimant, epoch: number, isClean: boolean): Promise<ClaimAnswer> {
    return this.#claim('hold', claimant, epoch, isClean, '')
  }

  /** From the node that gives it, if that owns it; or this node owns it already. */
  accept(claimant: Claimant, from: string): Promise<ClaimAnswer> {
    return this.#claim('gift', claimant, Date.now(), false, from)
  }

  /** It ended here. With another epoch than this it is left as it is. */
  async release(clientId: string, epoch: number | undefined): Promise<void> {
    const { node, storeId } = this.#meeting.self
    await releaseScript.run(this.#meeting.redis, [this.#key(clientId)], [node, String(storeId), String(epoch ?? '')])
  }

  async ownerOf(clientId: string): Promise<Owner | undefined> {
    return parseOwner(
      /^(\d+) (\S+) (\d+) ([pc]) (\S+) (.*)$/s.exec((await this.#meeting.redis.get(this.#key(clientId))) ?? ''),
    )
  }

  /** A shadow of `storeId` became this node's session, and had everything that was published there up to this number. */
  async cover(clientId: string, storeId: number, upTo: number): Promise<void> {
    const { node, storeId: own } = this.#meeting.self
    await coverScript.run(
      this.#meeting.redis,
      [this.#key(clientId)],
      [node, String(own), String(storeId), String(upTo)],
    )
  }

  async #claim(
    mode: 'take' | 'hold' | 'gift',
    { clientId, username, expiryS }: Claimant,
    epoch: number,
    isClean: boolean,
    last: string,
  ): Promise<ClaimAnswer> {
    const { node, storeId } = this.#meeting.self
    const kind = expiryS > 0 ? 'p' : 'c'
    const livesMs = expiryS * 1000 + keyGraceMs
    const own = [mode, node, String(storeId), kind, username, String(epoch), String(livesMs)]
    const values = [...own, isClean ? 'clean' : '', last]
    const answer = (await claimScript.run(this.#meeting.redis, [this.#key(clientId)], values)) as string[]
    const [outcome, claimed] = answer as [ClaimAnswer['outcome'], string]
    return { outcome, epoch: Number(claimed), former: answer[2] === '' ? undefined : parseOwner(answer.slice(1)) }
  }

  #key(clientId: string): string {
    return this.#meeting.key('session', clientId)
  }
}

/** The last one counts: a store that owned it again since owes all. */
function entryOf(owners: string, store: number): string | undefined {
  return owners.split(',').findLast((entry) => entry.split(':')[0] === String(store))
}

/** The fields from the second on. */
function parseOwner(found: readonly string[] | null): Owner | undefined {
  if (found === null) return undefined
  const [, epoch, node = '', storeId, kind, owners = '', username = ''] = found
  return {
    epoch: Number(epoch),
    node,
    storeId: Number(storeId),
    isPersistent: kind === 'p',
    username,
    isOwed: (store) => owners.split(',').includes('*') || entryOf(owners, store) !== undefined,
    coveredOf: (store) => {
      const covered = entryOf(owners, store)?.split(':')[1]
      return covered === undefined ? undefined : Number(covered)
    },
  }
}
