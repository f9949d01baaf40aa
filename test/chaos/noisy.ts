// A group that never stops talking, and members who are away: what they missed of it is told exactly, and nothing else is missing.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type BrokerProcess, type Cleanup, spawnBroker, temporaryFolder } from '../helpers/broker.ts'
import { connectClient, type Received, type TestClient } from '../helpers/client.ts'
import type { Random } from '../helpers/random.ts'
import { SteadyClient } from './steady-client.ts'

const window = 100
/** As in the default limits. */
const queueMessages = 1_000
/** Few enough that the breaks which they make in the log are all remembered over a restart. */
const oneToOneMessages = 30
const noisy = 'im/g/noisy/#'
const gapTopic = '$oriole/gap'

interface Member {
  readonly name: string
  readonly version: 4 | 5
  readonly filters: readonly string[]
  /** It leaves when so many messages of the group were published. */
  readonly leavesAt: number
}

export interface NoisyReport {
  readonly messages: number
  readonly ended: string
  /** What each member was told, in the order of `membersOf`. */
  readonly skipped: readonly number[]
}

/** Throws AssertionError when a promise is broken. */
export async function noisyRun(t: Cleanup, random: Random, messages: number): Promise<NoisyReport> {
  const folder = await temporaryFolder(t)
  let broker = await start(t, folder)
  const publisher = new SteadyClient(portOf(broker), 'publisher')
  t.after(() => publisher.destroy())
  await publisher.connect()
  const members = membersOf(random, messages)
  const clients = new Map<Member, TestClient>()
  for (const member of members) clients.set(member, await enter(t, broker, member))

  // At which message of the group each of them is written to.
  const writtenTo = new Map(members.map(({ name }) => [name, momentsOf(random, messages)]))
  let published = 0
  for (const { member, client } of inOrder(clients)) {
    await publishFrom(publisher, published, member.leavesAt, writtenTo)
    published = member.leavesAt
    const personal = [...writtenTo.get(member.name)!].filter((number) => number < published)
    await client.messages(published + personal.length)
    await client.end()
  }
  await publishFrom(publisher, published, messages, writtenTo)

  const ended = ['no restart', 'SIGTERM', 'SIGKILL'][random.below(3)]!
  if (ended !== 'no restart') {
    await broker.kill(ended as NodeJS.Signals)
    broker = await start(t, folder)
  }
  const skipped: number[] = []
  for (const member of members) skipped.push(await check(t, broker, member, messages, writtenTo.get(member.name)!))
  return { messages, ended, skipped }
}

function membersOf(random: Random, messages: number): Member[] {
  return [
    { name: 'old', version: 4, filters: [noisy, gapTopic, 'im/u/old/#'], leavesAt: 0 },
    { name: 'new', version: 5, filters: [noisy, 'im/u/new/#'], leavesAt: 0 },
    // Two filters that match the same messages: each counts once.
    { name: 'twice', version: 5, filters: [noisy, 'im/g/+/loud', 'im/u/twice/#'], leavesAt: random.below(messages) },
    { name: 'later', version: 4, filters: [noisy, '$oriole/#', 'im/u/later/#'], leavesAt: random.below(messages) },
  ]
}

async function start(t: Cleanup, folder: string): Promise<BrokerProcess> {
  await writeFile(
    join(folder, 'oriole.yaml'),
    `node: chaos
listeners: [{ name: tcp, type: tcp, port: 0 }]
limits: { queueMessages: ${queueMessages} }
store: { type: level, path: data, durability: disk }
log: { format: json }
admin: { enabled: false }
plugins: [auth-anonymous, acl-open]
`,
  )
  return spawnBroker(t, 'oriole.yaml', folder)
}

function portOf({ urls }: BrokerProcess): number {
  return Number(new URL(urls[0]!).port)
}

function connect(t: Cleanup, broker: BrokerProcess, { name, version }: Member): Promise<TestClient> {
  const properties = version === 5 ? { properties: { sessionExpiryInterval: 3_600 } } : {}
  return connectClient(t, broker.urls[0]!, { clientId: name, clean: false, protocolVersion: version, ...properties })
}

async function enter(t: Cleanup, broker: BrokerProcess, member: Member): Promise<TestClient> {
  const client = await connect(t, broker, member)
  await client.client.subscribeAsync([...member.filters], { qos: 1 })
  return client
}

function momentsOf(random: Random, messages: number): ReadonlySet<number> {
  const moments = new Set<number>()
  while (moments.size < Math.min(oneToOneMessages, messages)) moments.add(random.below(messages))
  return moments
}

function inOrder(clients: ReadonlyMap<Member, TestClient>): { member: Member; client: TestClient }[] {
  const all = [...clients].map(([member, client]) => ({ member, client }))
  return all.sort((one, other) => one.member.leavesAt - other.member.leavesAt)
}

/** All of it is acknowledged when this resolves. */
async function publishFrom(
  publisher: SteadyClient,
  first: number,
  end: number,
  writtenTo: ReadonlyMap<string, ReadonlySet<number>>,
): Promise<void> {
  let next = first
  const lane = async (): Promise<void> => {
    while (next < end) {
      const number = next
      next += 1
      const all = [publisher.publish('im/g/noisy/loud', `${number}`, 1)]
      for (const [name, moments] of writtenTo) {
        if (moments.has(number)) all.push(publisher.publish(`im/u/${name}/friend`, `${number}`, 1))
      }
      await Promise.all(all)
    }
  }
  await Promise.all(Array.from({ length: window }, lane))
}

/** The member comes back. Returns how many it was told that it has missed. */
async function check(
  t: Cleanup,
  broker: BrokerProcess,
  member: Member,
  messages: number,
  writtenTo: ReadonlySet<number>,
): Promise<number> {
  const { name, version, leavesAt } = member
  const missed = Math.max(0, messages - leavesAt - queueMessages)
  const personal = [...writtenTo].filter((number) => number >= leavesAt).sort((a, b) => a - b)
  const client = await connect(t, broker, member)
  const received = await receivedUntil(client, personal.length + (messages - leavesAt - missed))
  const of = (prefix: string): string[] =>
    received.filter(({ topic }) => topic.startsWith(prefix)).map(({ text }) => text)
  assert.deepEqual(of('im/u/'), personal.map(String), `${name}: what was written to it alone`)
  const group = Array.from({ length: messages - leavesAt - missed }, (_, index) => `${leavesAt + missed + index}`)
  assert.deepEqual(of('im/g/'), group, `${name}: what was left of the group`)
  const told = version === 4 ? toldByEvents(received) : toldByProperties(received)
  const wanted = missed === 0 ? {} : Object.fromEntries(member.filters.filter(isOfGroup).map((one) => [one, missed]))
  assert.deepEqual(told, { skipped: missed, filters: wanted }, `${name}: what it was told, ${leavesAt} before it left`)
  await client.end()
  return missed
}

/** So many messages, and however many events come before the last of them: a gap is told in parts as it is found. */
async function receivedUntil(client: TestClient, count: number): Promise<readonly Received[]> {
  for (let events = 0; ; ) {
    const received = await client.messages(count + events)
    const found = received.filter(({ topic }) => topic === gapTopic).length
    if (found === events) return received
    events = found
  }
}

function isOfGroup(filter: string): boolean {
  return filter.startsWith('im/g/')
}

interface Told {
  skipped: number
  readonly filters: Record<string, number>
}

function toldByEvents(received: readonly Received[]): Told {
  const told: Told = { skipped: 0, filters: {} }
  for (const { topic, text } of received) {
    if (topic !== gapTopic) continue
    const event = JSON.parse(text) as { skipped: number; filters: { filter: string; skipped: number }[] }
    told.skipped += event.skipped
    for (const { filter, skipped } of event.filters) told.filters[filter] = (told.filters[filter] ?? 0) + skipped
  }
  return told
}

function toldByProperties(received: readonly Received[]): Told {
  const told: Told = { skipped: 0, filters: {} }
  for (const { packet } of received) {
    const properties = packet.properties?.userProperties ?? {}
    told.skipped += Number(properties['oriole-gap'] ?? 0)
    for (const text of [properties['oriole-gap-filter'] ?? []].flat()) {
      const [skipped, filter] = text.split(' ')
      told.filters[filter!] = (told.filters[filter!] ?? 0) + Number(skipped)
    }
  }
  return told
}
