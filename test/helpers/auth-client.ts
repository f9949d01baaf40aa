// What tests of enhanced authentication share: a broker with SCRAM, and the packets of an exchange.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { IAuthPacket } from 'mqtt-packet'
import { makeScramSecret } from '../../broker/scram.ts'
import { startBroker, type TestBroker, temporaryFolder } from './broker.ts'
import { writeFiles } from './plugins.ts'
import { type ConnectOptions, connectPacket, openRaw, type PacketOf, type RawClient } from './raw-client.ts'
import { ScramClient } from './scram-client.ts'

export const method = 'SCRAM-SHA-256'
export const password = 'correct horse battery staple'
const secret = (await makeScramSecret(password))!

export interface ScramBroker extends TestBroker {
  /** Of the file of its groups: a `groups.yaml` beside its config. */
  readonly groupsPath: string
}

/** Users alice and bob log in with SCRAM; who names no method comes in as anonymous. `limits` is YAML in one line. */
export async function startScramBroker(t: TestContext, limits = '{}'): Promise<ScramBroker> {
  const folder = await temporaryFolder(t)
  await writeFiles(folder, {
    'scram.yaml': `alice: "${secret}"\nbob: "${secret}"\n`,
    'groups.yaml': 'interns: {}\n',
    'acl.yaml': `- allow: { subscribe: ["#"], publish: ["#"] }
- deny: { groups: [interns], subscribe: ["board"], publish: ["board"] }
`,
  })
  const config = `
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: memory }
admin: { enabled: false }
limits: ${limits}
plugins:
  - auth-scram: { users: scram.yaml }
  - auth-anonymous
  - groups: { file: groups.yaml }
  - acl-file: { rules: acl.yaml }
`
  const broker = await startBroker(t, config, folder)
  return { ...broker, groupsPath: join(folder, 'groups.yaml') }
}

export function authPacket(reasonCode: number, data?: Buffer, authenticationMethod = method): IAuthPacket {
  const properties = { authenticationMethod, ...(data !== undefined && { authenticationData: data }) }
  return { cmd: 'auth', reasonCode, properties } as IAuthPacket
}

/** CONNECT is sent, and the challenge is there. */
export async function beginLogin(
  t: TestContext,
  port: number,
  scram: ScramClient,
  options: ConnectOptions = {},
): Promise<{ readonly client: RawClient; readonly challenge: Buffer | undefined }> {
  const client = await openRaw(t, port)
  const properties = { ...options.properties, authenticationMethod: method, authenticationData: scram.first() }
  client.send(connectPacket({ ...options, properties }))
  return { client, challenge: dataOf(await client.expect('auth'), 0x18) }
}

/** The whole login, with the server's signature checked; the CONNACK. */
export async function logIn(
  t: TestContext,
  port: number,
  username: string,
  options: ConnectOptions = {},
): Promise<{ readonly client: RawClient; readonly connack: PacketOf<'connack'> }> {
  const scram = new ScramClient(username, password)
  const { client, challenge } = await beginLogin(t, port, scram, options)
  client.send(authPacket(0x18, scram.final(challenge)))
  const connack = await client.expect('connack')
  assert.equal(connack.reasonCode, 0)
  assert.equal(connack.properties?.authenticationMethod, method)
  scram.verify(connack.properties?.authenticationData)
  return { client, connack }
}

/** The data of an AUTH packet, which must have this reason code and the method. */
export function dataOf(packet: PacketOf<'auth'>, reasonCode: number): Buffer | undefined {
  assert.equal(packet.reasonCode, reasonCode)
  assert.equal(packet.properties?.authenticationMethod, method)
  return packet.properties?.authenticationData
}
