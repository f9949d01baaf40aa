// Who may do what: every kind of client at every door, over TCP, TLS and WebSocket, with and without a kept session, at
// each QoS, before and after one of them is taken out of the group; compared with a naive oracle.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { connect as connectTcp, type Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { createWebSocketStream, WebSocket } from 'ws'
import type { QoS } from '../../broker/message.ts'
import { makeToken } from '../../broker/password.ts'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { makeCertificates } from '../helpers/certificates.ts'
import { replaceFile } from '../helpers/plugins.ts'
import { type ConnectOptions, connectPacket, RawClient } from '../helpers/raw-client.ts'
import {
  type Actor,
  actors,
  granted,
  groupsFile,
  isMember,
  matches,
  mayPublish,
  mayRead,
  rulesFile,
  usernames,
} from './access-oracle.ts'

const transports = ['tcp', 'tls', 'ws'] as const
type Transport = (typeof transports)[number]

/** Messages are published to these, by the admin. */
const topics = ['im/u/alice/x', 'im/g/family/x', 'im/g/family/board/x', 'public/x', 'auto/family/x', 'im/u/bob/x']
/** Held all the time by every session that may have them. */
const heldFilters = ['im/u/alice/#', 'im/g/family/#', 'public/#']
/** Only asked for. */
const askedFilters = ['#', '$SYS/#', 'im/g/#', 'im/g/family/board/#', 'auto/family/#', 'im/+/family/x']
const automaticFilter = 'auto/family/#'

interface Cell {
  readonly actor: Actor
  readonly transport: Transport
  readonly persistent: boolean
  readonly qos: QoS
  /** Unique: the client id. */
  readonly id: string
}

test('access: every cell of the matrix is as the oracle says', { timeout: 170_000 }, async (t) => {
  const house = await startHouse(t)
  const cells = actors.flatMap((actor) =>
    transports.flatMap((transport) =>
      [false, true].flatMap((persistent) =>
        ([0, 1, 2] as const).map((qos) => ({
          ...{ actor, transport, persistent, qos },
          id: `${actor}-${transport}-${persistent ? 'kept' : 'clean'}-${qos}`,
        })),
      ),
    ),
  )
  const matrix = new Matrix()
  const admin = await house.connect('admin', 'tcp', { clientId: 'admin', clean: true, answers: true })
  for (const topic of topics) await admin.publishAcknowledged(topic, 'retained', { retain: true })

  await each(cells, (cell) => ownership(house, matrix, cell))
  await each(cells, (cell) => ask(house, matrix, cell, false))
  await publishAndDie(house, matrix, cells, false)

  const sessions = await each(cells, (cell) => subscribe(house, matrix, cell))
  for (const topic of topics) await admin.publishAcknowledged(topic, 'live')
  await each(sessions, (session) => live(matrix, session, false, ['live'], 'live'))
  await each(sessions, ({ client }) => client.cut())
  for (const topic of topics) await admin.publishAcknowledged(topic, 'queued')

  const removed = await house.connect('removed', 'tcp', { clientId: 'still here', clean: true })
  await house.remove()
  for (let code: number | undefined; code !== 0x87; ) {
    removed.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'im/g/family/#', qos: 0, rh: 2 }] })
    code = ((await takeUntil(removed, 'suback')).at(-1) as unknown as { granted: number[] }).granted[0]
  }
  await removed.cut()

  const back = await each(sessions, (session) => comeBack(house, session))
  await admin.publishAcknowledged('public/end', 'end')
  await each(back, (session) => missed(matrix, session))
  for (const topic of topics) await admin.publishAcknowledged(topic, 'after')
  await each(back, (session) => live(matrix, session, true, ['after'], 'live after the change'))
  await each(back, ({ client }) => client.cut())

  await each(cells, (cell) => ask(house, matrix, cell, true))
  await publishAndDie(house, matrix, cells, true)
  t.diagnostic(`${matrix.cells} cells, ${matrix.differences.length} differences`)
  assert.deepEqual(matrix.differences, [])
  assert.ok(matrix.cells >= 2_000)
})

class Matrix {
  cells = 0
  readonly differences: string[] = []

  compare(cell: Cell, door: string, got: unknown, expected: unknown): void {
    this.cells += 1
    if (got !== expected) this.differences.push(`${cell.id}: ${door}: got ${got}, the oracle says ${expected}`)
  }
}

/** Sessions of the same kind at once, so that the whole takes seconds. */
async function each<In, Out>(items: readonly In[], work: (item: In) => Promise<Out>): Promise<Out[]> {
  const results: Out[] = []
  for (let from = 0; from < items.length; from += 42) {
    results.push(...(await Promise.all(items.slice(from, from + 42).map(work))))
  }
  return results
}

/** Door: CONNECT with the client id of a session that belongs to alice. */
async function ownership(house: House, matrix: Matrix, cell: Cell): Promise<void> {
  const clientId = `alice ${cell.id}`
  const owner = await house.connect('owner', 'tcp', { clientId, ...keptFor(true) })
  await owner.cut()
  const { client, code } = await house.tryConnect(cell.actor, cell.transport, { clientId, ...keptFor(cell.persistent) })
  matrix.compare(cell, 'the client id of alice', code, cell.actor === 'owner' ? 0 : 0x87)
  await client.cut()
}

/** Doors: SUBSCRIBE, `$share`, `$SYS`. */
async function ask(house: House, matrix: Matrix, cell: Cell, isAfter: boolean): Promise<void> {
  const { client } = await house.tryConnect(cell.actor, cell.transport, { clientId: `asks ${cell.id}`, clean: true })
  const filters = [...heldFilters, ...askedFilters]
  const shared = filters.map((filter) => `$share/${cell.id}/${filter}`)
  client.send({
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: [...filters, ...shared].map((topic) => ({ topic, qos: cell.qos, rh: 2 })),
  })
  const codes = (await takeUntil(client, 'suback')).at(-1) as unknown as { granted: number[] }
  for (const [index, filter] of [...filters, ...filters].entries()) {
    const door = index < filters.length ? `subscribe ${filter}` : `subscribe shared ${filter}`
    const expected = granted(cell.actor, isAfter, filter, cell.qos)
    matrix.compare(cell, door, codes.granted[index], expected)
  }
  await client.cut()
}

/** Doors: PUBLISH, the will at CONNECT, the will when it fires. Seen by somebody who reads everything. */
async function publishAndDie(house: House, matrix: Matrix, cells: readonly Cell[], isAfter: boolean): Promise<void> {
  const watcher = await house.connect('admin', 'tcp', { clientId: 'watcher', clean: true, answers: true })
  await watcher.subscribe(['im/#', 'public/#', '$SYS/#'], { qos: 1, rh: 2 })
  await each(cells, async (cell) => {
    const me = usernames[cell.actor] || 'nobody'
    const publisher = await house.connect(cell.actor, cell.transport, {
      clientId: `says ${isAfter} ${cell.id}`,
      ...keptFor(cell.persistent),
      answers: true,
    })
    for (const topic of publishTopics(me)) {
      publisher.publish(topic, `${isAfter} ${cell.id}`, { qos: cell.qos })
      if (cell.qos > 0) await takeUntil(publisher, cell.qos === 1 ? 'puback' : 'pubrec')
    }
    await takeUntil(publisher, 'pingresp', true)
    const topic = `im/g/family/${me}`
    const will = { topic, payload: Buffer.from(`will ${isAfter} ${cell.id}`), qos: cell.qos, retain: false }
    const { client, code } = await house.tryConnect(cell.actor, cell.transport, {
      clientId: `dies ${cell.id}`,
      ...keptFor(cell.persistent),
      will,
    })
    matrix.compare(
      cell,
      `will at CONNECT${isAfter ? ' after the change' : ''}`,
      code,
      mayPublish(cell.actor, isAfter, topic, cell.qos) ? 0 : 0x87,
    )
    await client.cut()
  })
  const admin = await house.connect('admin', 'tcp', {
    clientId: 'last word',
    clean: true,
    will: { topic: 'public/end', payload: Buffer.from('end'), qos: 1, retain: false },
  })
  await admin.cut()
  const seen = new Set<string>()
  for (;;) {
    const packet = await watcher.next()
    if (packet.cmd !== 'publish') continue
    seen.add(`${packet.topic} ${packet.payload}`)
    if (packet.topic === 'public/end') break
  }
  for (const cell of cells) {
    const me = usernames[cell.actor] || 'nobody'
    for (const topic of publishTopics(me)) {
      const expected = mayPublish(cell.actor, isAfter, topic, cell.qos)
      matrix.compare(cell, `publish ${topic} ${isAfter}`, seen.has(`${topic} ${isAfter} ${cell.id}`), expected)
    }
    const topic = `im/g/family/${me}`
    const expected = mayPublish(cell.actor, isAfter, topic, cell.qos)
    matrix.compare(cell, `will when it fires ${isAfter}`, seen.has(`${topic} will ${isAfter} ${cell.id}`), expected)
  }
  await watcher.cut()
}

function publishTopics(me: string): readonly string[] {
  return [`im/u/alice/${me}`, 'im/u/alice/bob', `im/g/family/${me}`, 'im/g/family/carol', 'public/said', '$SYS/x']
}

interface Session {
  readonly cell: Cell
  readonly client: RawClient
}

/** Doors: SUBSCRIBE, automatic subscriptions, retained messages. Nothing is ever acknowledged: all is in flight. */
async function subscribe(house: House, matrix: Matrix, cell: Cell): Promise<Session> {
  const client = await house.connect(cell.actor, cell.transport, { clientId: cell.id, ...keptFor(cell.persistent) })
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: heldFilters.map((topic) => ({ topic, qos: cell.qos })) })
  const session = { cell, client }
  await live(matrix, session, false, ['retained'], 'retained')
  return session
}

/** Doors: live, retained. What came since the last look, until the broker has nothing more. */
async function live(
  matrix: Matrix,
  { cell, client }: Session,
  isAfter: boolean,
  kinds: readonly string[],
  door: string,
) {
  const got = linesOf(await takeUntil(client, 'pingresp', true))
  const isFresh = isAfter && !cell.persistent
  for (const kind of kinds) {
    for (const topic of topics) {
      const expected = isFresh ? isAutomatic(cell, isAfter, topic) : holds(cell, isAfter, topic)
      matrix.compare(cell, `${door}: ${topic}`, got.has(`${topic} ${kind}`), expected)
    }
  }
}

async function comeBack(house: House, { cell }: Session): Promise<Session> {
  const options = { clientId: cell.id, ...keptFor(cell.persistent) }
  return { cell, client: await house.connect(cell.actor, cell.transport, options) }
}

/** Doors: restore, queued, in flight. */
async function missed(matrix: Matrix, { cell, client }: Session): Promise<void> {
  // Behind everything that the session still had to get.
  const packets = cell.persistent ? await takeUntil(client, (line) => line === 'public/end end') : []
  packets.push(...(await takeUntil(client, 'pingresp', true)))
  const got = linesOf(packets)
  for (const topic of topics) {
    const isKept = cell.persistent && cell.qos > 0 && holds(cell, true, topic)
    // What the house subscribes a new session to begins with what is retained.
    const isNew = !cell.persistent && isAutomatic(cell, true, topic)
    const isQueued = isKept || (cell.persistent && isAutomatic(cell, true, topic))
    matrix.compare(cell, `in flight: ${topic}`, got.has(`${topic} live`), isQueued)
    matrix.compare(cell, `in flight, retained: ${topic}`, got.has(`${topic} retained`), isQueued || isNew)
    matrix.compare(cell, `queued: ${topic}`, got.has(`${topic} queued`), isQueued)
  }
}

function isAutomatic({ actor }: Cell, isAfter: boolean, topic: string): boolean {
  return isMember(actor, isAfter) && matches(automaticFilter.split('/'), topic.split('/'))
}

/** A filter of the session brings the topic, and the client may read it. */
function holds(cell: Cell, isAfter: boolean, topic: string): boolean {
  const { actor, qos } = cell
  const filters = heldFilters.filter((filter) => granted(actor, isAfter, filter, qos) < 0x80)
  const isBrought = filters.some((filter) => matches(filter.split('/'), topic.split('/')))
  return (isBrought && mayRead(actor, isAfter, topic)) || isAutomatic(cell, isAfter, topic)
}

type Packets = Awaited<ReturnType<RawClient['next']>>[]

/** All packets up to and with this one; `asks`: it is the answer to a PINGREQ. */
async function takeUntil(client: RawClient, end: string | ((line: string) => boolean), asks = false): Promise<Packets> {
  if (asks) client.send({ cmd: 'pingreq' })
  const packets: Packets = []
  for (;;) {
    const packet = await client.next()
    packets.push(packet)
    if (typeof end === 'string' ? packet.cmd === end : [...linesOf([packet])].some(end)) return packets
  }
}

function linesOf(packets: Packets): Set<string> {
  return new Set(packets.flatMap((packet) => (packet.cmd === 'publish' ? [`${packet.topic} ${packet.payload}`] : [])))
}

function keptFor(persistent: boolean): ConnectOptions {
  return persistent ? { clean: false, properties: { sessionExpiryInterval: 3600 } } : { clean: true }
}

interface House {
  tryConnect(actor: Actor, transport: Transport, options: ConnectOptions): Promise<{ client: RawClient; code: number }>
  connect(actor: Actor, transport: Transport, options: ConnectOptions): Promise<RawClient>
  /** The removed member is taken out of the group. */
  remove(): Promise<void>
}

async function startHouse(t: TestContext): Promise<House> {
  const folder = await temporaryFolder(t)
  const certificates = await makeCertificates(folder)
  const tokens = new Map(actors.map((actor) => [actor, makeToken()]))
  const named = actors.filter((actor) => actor !== 'anonymous')
  const users = named.map((actor) => `${usernames[actor]}: "${tokens.get(actor)!.hash}"\n`).join('')
  await writeFile(join(folder, 'users.yaml'), users)
  await writeFile(join(folder, 'groups.yaml'), groupsFile(true))
  await writeFile(join(folder, 'acl.yaml'), rulesFile)
  const { certificate, key } = certificates.server
  const broker = await startBroker(
    t,
    `
node: matrix
listeners:
  - { name: tcp, type: tcp, port: 0 }
  - { name: tls, type: tls, port: 0, certificate: ${certificate}, key: ${key} }
  - { name: ws, type: ws, port: 0 }
store: { type: memory }
admin: { enabled: false }
# Clients, oracle and broker share a thread.
limits: { sessionsPerUser: 1000, loopDelayMs: 0 }
plugins:
  - auth-file: { users: users.yaml, admin: false }
  - auth-anonymous
  - groups: { file: groups.yaml }
  - acl-file: { rules: acl.yaml }
`,
    folder,
  )
  const ca = await readFile(certificates.ca)
  const open = async (transport: Transport): Promise<Socket> => {
    const port = broker.port(transport)
    if (transport === 'ws') {
      const web = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt')
      return createWebSocketStream(web) as unknown as Socket
    }
    const socket =
      transport === 'tls' ? connectTls({ port, host: '127.0.0.1', ca }) : connectTcp({ port, host: '127.0.0.1' })
    await once(socket, transport === 'tls' ? 'secureConnect' : 'connect')
    return socket
  }
  const tryConnect: House['tryConnect'] = async (actor, transport, options) => {
    const socket = await open(transport)
    t.after(() => socket.destroy())
    const client = new RawClient(socket, options)
    const login =
      actor === 'anonymous' ? {} : { username: usernames[actor], password: Buffer.from(tokens.get(actor)!.token) }
    client.send(connectPacket({ ...options, ...login }))
    return { client, code: (await client.expect('connack')).reasonCode ?? -1 }
  }
  return {
    tryConnect,
    async connect(actor, transport, options) {
      const { client, code } = await tryConnect(actor, transport, options)
      assert.equal(code, 0, `${options.clientId} was refused`)
      return client
    },
    remove: () => replaceFile(join(folder, 'groups.yaml'), groupsFile(false)),
  }
}
