// Somebody else who knows a client id tries everything with it: its owner notices nothing and loses nothing.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeToken } from '../../broker/password.ts'
import { type Cleanup, spawnBroker, temporaryFolder } from '../helpers/broker.ts'
import type { Random } from '../helpers/random.ts'
import { type ConnectOptions, connectRaw, kept, type RawClient, tryConnect } from '../helpers/raw-client.ts'

export interface StrangerReport {
  readonly attempts: number
  /** Messages that the owners got, each once and in order. */
  readonly messages: number
}

const attempts = ['connect', 'clean start', 'failed login', 'empty password', 'unknown user', 'will'] as const

/** Throws AssertionError when an owner lost a message, its connection, its session or its will. */
export async function strangerRun(t: Cleanup, random: Random, rounds: number): Promise<StrangerReport> {
  const house = await startHouse(t)
  const sender = await house.connect('sender', { clientId: 'sender', answers: true })
  await sender.subscribe('will/#', { qos: 1 })
  const will = { topic: 'will/owner', payload: Buffer.from('mine'), qos: 1 as const, retain: false }
  const here = await house.connect('owner', { ...kept('here'), answers: true, will })
  const away = await house.connect('owner', kept('away'))
  const unsent = await house.connect('owner', kept('unsent'))
  for (const client of [here, away, unsent]) await client.subscribe('mail', { qos: 1 })
  await away.leave()
  // Sent and not acknowledged: it must come again.
  await sender.publishAcknowledged('mail', '0')
  assert.deepEqual([...(await here.texts(1)), ...(await unsent.texts(1))], ['0', '0'])
  await unsent.cut()

  let tried = 0
  let sent = 1
  for (let round = 0; round < rounds; round += 1) {
    await Promise.all(
      Array.from({ length: 1 + random.below(4) }, async () => {
        tried += 1
        await attempt(house, random.pick(['here', 'away', 'unsent']), random.pick(attempts), random)
      }),
    )
    await sender.publishAcknowledged('mail', `${sent}`)
    assert.deepEqual(await here.texts(1), [`${sent}`], 'the connection of the owner goes on')
    sent += 1
  }

  const expected = Array.from({ length: sent }, (_, index) => `${index}`)
  for (const clientId of ['away', 'unsent']) {
    const { client, connack } = await house.tryConnect('owner', { ...kept(clientId), answers: true })
    assert.equal(connack.sessionPresent, true, `${clientId} has its session`)
    assert.deepEqual(await client.texts(sent), expected, `${clientId} has all that was sent meanwhile`)
  }
  await sender.nothing()
  await here.cut()
  const last = await sender.expect('publish')
  assert.deepEqual([last.topic, last.payload.toString()], ['will/owner', 'mine'])
  return { attempts: tried, messages: sent * 3 }
}

async function attempt(house: House, clientId: string, how: (typeof attempts)[number], random: Random): Promise<void> {
  const version = random.pick([4, 5] as const)
  const base: ConnectOptions = { clientId, clean: how === 'clean start', version }
  const will = { topic: 'will/stranger', payload: Buffer.from('not mine'), qos: 1 as const, retain: false }
  const { client, code } =
    how === 'failed login'
      ? await house.tryConnect('owner', { ...base, password: Buffer.from('guessed') })
      : how === 'unknown user'
        ? await house.tryConnect('stranger', { ...base, username: 'nobody', password: Buffer.from('guessed') })
        : how === 'empty password'
          ? await house.tryConnect('owner', { ...base, password: Buffer.alloc(0) })
          : await house.tryConnect('stranger', { ...base, ...(how === 'will' && { will }) })
  assert.notEqual(code, 0, `${how} must be refused`)
  if (random.chance()) await client.cut()
  else await client.closed()
}

interface House {
  tryConnect(user: string, options: ConnectOptions): ReturnType<typeof tryConnect>
  connect(user: string, options: ConnectOptions): Promise<RawClient>
}

async function startHouse(t: Cleanup): Promise<House> {
  const folder = await temporaryFolder(t)
  const tokens = new Map(['owner', 'sender', 'stranger'].map((user) => [user, makeToken()]))
  const users = [...tokens].map(([user, { hash }]) => `${user}: "${hash}"\n`).join('')
  await Promise.all([
    writeFile(join(folder, 'users.yaml'), users),
    writeFile(join(folder, 'acl.yaml'), '- allow: { publish: ["mail", "will/#"], subscribe: ["mail", "will/#"] }\n'),
    writeFile(join(folder, 'oriole.yaml'), config),
  ])
  const broker = await spawnBroker(t, 'oriole.yaml', folder)
  const port = Number(new URL(broker.urls[0]!).port)
  const login = (user: string, options: ConnectOptions): ConnectOptions => ({
    username: user,
    password: Buffer.from(tokens.get(user)!.token),
    ...options,
  })
  return {
    tryConnect: (user, options) => tryConnect(t, port, login(user, options)),
    connect: (user, options) => connectRaw(t, port, login(user, options)),
  }
}

const config = `
node: chaos
listeners: [{ name: tcp, type: tcp, port: 0 }]
# A busy machine refuses nobody: it is no stranger.
limits: { failedLogins: { perMinute: 0 }, loopDelayMs: 0 }
store: { type: level, path: ./data, durability: os }
log: { format: json }
admin: { enabled: false }
plugins:
  - auth-file: { users: users.yaml, admin: false }
  - acl-file: { rules: acl.yaml }
`
