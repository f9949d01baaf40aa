// What the tests of stores share: messages, commits as promises, whole streams read back, folders that go away.
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Message } from '../../broker/message.ts'
import type { PluginLog } from '../../broker/plugin.ts'
import { databaseName } from '../../broker/store/folder.ts'
import type {
  HistoryRange,
  HistoryRule,
  Store,
  StoreLimits,
  StreamPosition,
  SubscriptionRecord,
  WillRecord,
} from '../../broker/store/store.ts'

export { committed } from '../../broker/store/store.ts'

/** The bounds that the suite of the contract counts on. */
export const testLimits: StoreLimits = {
  queueMessages: 10,
  queueBytes: 100_000,
  queueAgeS: 3_600,
  outboxMaxBytes: 200_000,
  remembersRemovals: true,
}

/** The retention rules that it counts on. */
export const testHistory: readonly HistoryRule[] = [
  { filter: 'chat/few/#', messages: 3 },
  { filter: 'chat/#', messages: 1_000 },
  { filter: 'bytes/#', bytes: 1_000 },
  { filter: 'days/#', days: 2 },
]

export function messageOf(topic: string, payload: string | Buffer, more: Partial<Message> = {}): Message {
  return {
    topic,
    payload: Buffer.from(payload as string),
    qos: 1,
    retain: false,
    properties: undefined,
    clientId: 'publisher',
    username: 'alice',
    publishedAt: Date.now(),
    expiresAt: undefined,
    ...more,
  }
}

export function subscriptionOf(filter: string, more: Partial<SubscriptionRecord> = {}): SubscriptionRecord {
  return {
    filter,
    qos: 1,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0,
    subscriptionId: undefined,
    since: 0,
    retainedPending: false,
    keptUntil: 0,
    ...more,
  }
}

export function willOf(message: Message, more: Partial<WillRecord> = {}): WillRecord {
  const identity = { username: message.username, groups: ['g'], roles: [], attributes: { a: 'b' } }
  const left = { provenBy: 'auth-file', address: '127.0.0.1', listener: 'tcp' }
  return { message, identity, ...left, delayS: 0, firesAt: undefined, ...more }
}

export interface WholeRead {
  readonly payloads: string[]
  readonly sequences: number[]
  readonly skipped: number
  /** By stream. */
  readonly gaps: Readonly<Record<string, number>>
}

/** Reads to the end, some at a time, as a session does. */
export async function readAll(
  store: Store,
  positions: readonly StreamPosition[],
  limit = 100,
  has?: ReadonlySet<number>,
): Promise<WholeRead> {
  const gaps: Record<string, number> = {}
  const whole = { payloads: [] as string[], sequences: [] as number[], skipped: 0, gaps }
  let from = positions
  for (;;) {
    const { entries, end, skipped, through, ...read } = await store.read(from, limit, has)
    for (const { sequence, message } of entries) {
      whole.payloads.push(message.payload.toString())
      whole.sequences.push(sequence)
    }
    whole.skipped += skipped
    for (const { stream, messages } of read.gaps) gaps[stream] = (gaps[stream] ?? 0) + messages
    if (end) return whole
    from = from.map((position) => ({ ...position, after: Math.max(position.after, through) }))
  }
}

/** The payloads of one page of the history, with what comes after it: 'more' or 'end'. */
export async function historyOf(store: Store, filter: string, range: HistoryRange): Promise<string[]> {
  const { entries, end } = await store.readHistory(filter, range)
  return [...entries.map(({ message }) => message.payload.toString()), end ? 'end' : 'more']
}

/** All retained messages that match, the places to yield left out. None of them is large. */
export function matchedBy(store: Store, filter: string): Message[] {
  const found: Message[] = []
  for (const message of store.matchRetained(filter)) {
    if (message === undefined) continue
    if (message.payload === undefined) throw new Error(`the payload of ${message.topic} is on disk`)
    found.push(message)
  }
  return found
}

export async function makeFolder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'oriole-store-'))
  t.after(() => rm(path, { recursive: true, force: true, maxRetries: 10 }))
  return path
}

export interface RecordedLog extends PluginLog {
  /** The phrases of errors, in order. */
  readonly errors: string[]
}

export function recordLog(): RecordedLog {
  const errors: string[] = []
  return { errors, debug() {}, info() {}, warn() {}, error: (_fields, phrase) => void errors.push(phrase) }
}

/** A small generator with a seed (mulberry32): the same walk again for the same seed. */
export function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let value = Math.imul(state ^ (state >>> 15), state | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) % below
  }
}

/** Of the files of LevelDB in a data folder. */
export async function folderBytes(path: string): Promise<number> {
  const folder = join(path, databaseName)
  let bytes = 0
  for (const name of await readdir(folder)) {
    // LevelDB deletes files while we look.
    bytes += (await stat(join(folder, name)).catch(() => undefined))?.size ?? 0
  }
  return bytes
}

/** Incompressible, because LevelDB compresses. */
export function noise(bytes: number, seed: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes)
  let state = seed | 1
  for (let at = 0; at < bytes; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    buffer[at] = state >>> 24
  }
  return buffer
}
