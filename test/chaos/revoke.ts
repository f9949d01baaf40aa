// A user, a membership and a rule are taken away while clients are connected, away, and in between: a second later nothing
// more is delivered to them and nothing accepted of them, wherever it waited. Witnesses who keep all of it get everything.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeToken } from '../../broker/password.ts'
import { type Cleanup, spawnBroker, temporaryFolder } from '../helpers/broker.ts'
import { replaceFile } from '../helpers/plugins.ts'
import type { Random } from '../helpers/random.ts'
import {
  type ConnectOptions,
  connectRaw,
  kept,
  type PacketOf,
  type RawClient,
  tryConnect,
} from '../helpers/raw-client.ts'

/** What is taken away; each has a tree of topics of its own. */
const causes = ['user', 'group', 'rule'] as const
type Cause = (typeof causes)[number]

export interface RevokeReport {
  /** Places in which the victims were looked at, a second after the change. */
  readonly places: number
  /** Messages that the witnesses got of the same trees after the change. */
  readonly witnessed: number
}

/** So long after the files were changed nothing may leave any more: what is promised. */
const promiseMs = 1_000
/** A will that waits must still wait when the right is taken away. */
const victimWillS = 3

/** Throws AssertionError when the promise is broken. */
export async function revokeRun(t: Cleanup, random: Random): Promise<RevokeReport> {
  const house = await startHouse(t)
  const admin = await house.connect('admin', { clientId: 'admin', answers: true })
  await admin.subscribe('will/#', { qos: 1 })
  const all: Place[] = []
  const startedAt = performance.now()
  for (const cause of causes) {
    await admin.publishAcknowledged(`${cause}/retained`, 'kept for new subscriptions', { retain: true })
    all.push(
      ...(await takePlaces(house, cause, 'victim', random)),
      ...(await takePlaces(house, cause, 'witness', random)),
    )
  }
  await fill(admin, all)

  await house.takeAway(random)
  assert.ok(
    performance.now() - startedAt < victimWillS * 1000 - 300,
    'the machine is too slow: wills fired before the change',
  )
  await new Promise((resolve) => setTimeout(resolve, promiseMs))

  for (const { client } of all) client?.skip()
  for (const cause of causes) await admin.publishAcknowledged(`${cause}/after`, 'after the change')
  let witnessed = 0
  for (const place of all) {
    const texts = await place.look()
    if (place.isVictim) assert.deepEqual(texts, [], `${place.name} got what it may not have any more`)
    else assert.ok(texts.length > 0, `${place.name} got nothing`)
    witnessed += place.isVictim ? 0 : texts.length
  }
  await lookAtWills(admin)
  return { places: all.filter(({ isVictim }) => isVictim).length, witnessed }
}

interface Place {
  readonly name: string
  readonly isVictim: boolean
  readonly cause: Cause
  /** Undefined while it is away. */
  readonly client: RawClient | undefined
  /** It must have this before the change. */
  before?(admin: RawClient): Promise<void>
  /** All that it gets from now on, besides its answers. */
  look(): Promise<string[]>
}

/** The clients of one user, each in another state when the right is taken away. */
async function takePlaces(house: House, cause: Cause, part: 'victim' | 'witness', random: Random): Promise<Place[]> {
  const user = `${part}-${cause}`
  const filter = `${cause}/#`
  const isVictim = part === 'victim'
  const connect = (place: string, options: ConnectOptions = {}) =>
    house.connect(user, { ...options, clientId: `${user}-${place}` })
  const resume = (place: string) => house.resume(user, { ...kept(`${user}-${place}`), answers: true })
  const common = { isVictim, cause }
  const version = random.pick([4, 5] as const)
  const qos = random.pick([1, 2] as const)

  const live = await connect('live', { version, answers: true })
  await live.subscribe([filter, `$share/${user}/${filter}`], { qos })
  const held = await connect('held', {
    ...(random.chance() && { clean: false }),
    properties: { receiveMaximum: 1, sessionExpiryInterval: random.pick([0, 3600]) },
  })
  await held.subscribe(filter, { qos: 1 })
  const away = await connect('away', { ...kept(`${user}-away`, version) })
  await away.subscribe(filter, { qos })
  await away.cut()
  const inFlight = await connect('in-flight', kept(`${user}-in-flight`))
  await inFlight.subscribe(filter, { qos })
  let first: PacketOf<'publish'> | undefined
  const later = await connect('later', { answers: true })
  const will = (place: string, delayS: number) => ({
    topic: `will/${user}`,
    payload: Buffer.from(place),
    qos: 1 as const,
    retain: false,
    properties: { willDelayInterval: delayS },
  })
  const dying = await connect('dying', { will: will('dying', 0) })
  const dead = await connect('dead', {
    ...kept(`${user}-dead`),
    will: will('dead', isVictim ? victimWillS : victimWillS + 1),
  })
  await dead.cut()

  return [
    { ...common, name: `${user} live`, client: live, look: () => rest(live) },
    {
      ...common,
      name: `${user} held`,
      client: held,
      async before() {
        first = await held.expect('publish')
      },
      async look() {
        if (first !== undefined && !held.isClosed) held.acknowledge(first)
        return rest(held, true)
      },
    },
    { ...common, name: `${user} away`, client: undefined, look: async () => rest(await resume('away')) },
    {
      ...common,
      name: `${user} in flight`,
      client: undefined,
      async before() {
        await inFlight.expect('publish')
        await inFlight.cut()
      },
      look: async () => rest(await resume('in-flight')),
    },
    {
      ...common,
      name: `${user} subscribes later`,
      client: later,
      async look() {
        if (later.isClosed) return []
        later.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos: 1 }] })
        return rest(later)
      },
    },
    {
      ...common,
      name: `${user} publishes`,
      client: dying,
      async look() {
        if (dying.isClosed) return []
        dying.publish(`will/${user}`, 'published', { qos: 0 })
        await rest(dying)
        await dying.cut()
        // Whether it was accepted is seen by who watches wills.
        return isVictim ? [] : ['published']
      },
    },
  ]
}

/** Messages wait in every place: sent and not acknowledged, behind the window, in the log. */
async function fill(admin: RawClient, places: readonly Place[]): Promise<void> {
  for (const cause of causes) {
    for (const text of ['first', 'second', 'third']) await admin.publishAcknowledged(`${cause}/before`, text)
  }
  for (const place of places) await place.before?.(admin)
}

/** What came of the wills and of what was published to their topics: of witnesses alone. */
async function lookAtWills(admin: RawClient): Promise<void> {
  const expected = causes.flatMap((cause) =>
    ['published', 'dying', 'dead'].map((place) => `will/witness-${cause} ${place}`),
  )
  const got: string[] = []
  // The wills of the witnesses that wait longest come after all those of the victims.
  while (expected.some((line) => !got.includes(line))) {
    const { topic, payload } = await admin.expect('publish')
    got.push(`${topic} ${payload}`)
  }
  assert.deepEqual(got.sort(), expected.sort())
}

/** All messages until the broker has nothing more to send, or has closed. */
async function rest(client: RawClient | undefined, acknowledges = false): Promise<string[]> {
  const texts: string[] = []
  if (client === undefined) return texts
  for (let quiet = false; !quiet && !client.isClosed; ) {
    quiet = true
    client.send({ cmd: 'pingreq' })
    for (;;) {
      const packet = await client.nextOrEnd()
      if (packet === undefined || packet.cmd === 'pingresp') break
      if (packet.cmd !== 'publish') continue
      quiet = false
      texts.push(packet.payload.toString())
      if (acknowledges && packet.qos === 1) client.acknowledge(packet)
    }
  }
  return texts
}

interface House {
  connect(user: string, options: ConnectOptions): Promise<RawClient>
  /** Undefined: refused. */
  resume(user: string, options: ConnectOptions): Promise<RawClient | undefined>
  takeAway(random: Random): Promise<void>
}

async function startHouse(t: Cleanup): Promise<House> {
  const folder = await temporaryFolder(t)
  const users = ['admin', ...causes.flatMap((cause) => [`victim-${cause}`, `witness-${cause}`])]
  const tokens = new Map(users.map((user) => [user, makeToken()]))
  const usersFile = (without?: string) =>
    users.map((user) => (user === without ? '' : `${user}: "${tokens.get(user)!.hash}"\n`)).join('')
  await Promise.all([
    writeFile(join(folder, 'users.yaml'), usersFile()),
    writeFile(join(folder, 'groups.yaml'), 'room: { members: [victim-group, witness-group] }\n'),
    writeFile(join(folder, 'acl.yaml'), rulesFor('victim-rule, witness-rule')),
    writeFile(join(folder, 'oriole.yaml'), config),
  ])
  const broker = await spawnBroker(t, 'oriole.yaml', folder)
  const port = Number(new URL(broker.urls[0]!).port)
  const withPassword = (user: string, options: ConnectOptions): ConnectOptions => ({
    ...options,
    username: user,
    password: Buffer.from(tokens.get(user)!.token),
  })
  return {
    connect: (user, options) => connectRaw(t, port, withPassword(user, options)),
    async resume(user, options) {
      const { client, code } = await tryConnect(t, port, withPassword(user, options))
      return code === 0 ? client : undefined
    },
    async takeAway(random) {
      const disabled = `victim-user: { password: "${tokens.get('victim-user')!.hash}", disabled: true }\n`
      const changes: [string, string][] = [
        ['users.yaml', usersFile('victim-user') + (random.chance() ? disabled : '')],
        ['groups.yaml', 'room: { members: [witness-group] }\n'],
        ['acl.yaml', random.chance() ? rulesFor('witness-rule') : `${rulesFor('victim-rule, witness-rule')}${denied}`],
      ]
      if (random.chance()) changes.reverse()
      for (const [file, content] of changes) await replaceFile(join(folder, file), content)
    },
  }
}

const config = `
node: chaos
listeners: [{ name: tcp, type: tcp, port: 0 }]
limits: { sessionsPerUser: 100, loopDelayMs: 0 }
store: { type: level, path: ./data, durability: os }
log: { format: json }
admin: { enabled: false }
plugins:
  - auth-file: { users: users.yaml, admin: false }
  - groups: { file: groups.yaml }
  - acl-file: { rules: acl.yaml }
`

function rulesFor(users: string): string {
  return `
- allow: { users: admin, publish: "#", subscribe: "#" }
- allow: { users: [victim-user, witness-user], subscribe: "user/#", publish: "will/{user}" }
- allow: { groups: room, subscribe: "group/#", publish: "will/{user}" }
- allow: { users: [${users}], subscribe: "rule/#", publish: "will/{user}" }
`
}

const denied = '- deny: { users: victim-rule, subscribe: "rule/#", publish: "will/#" }\n'
