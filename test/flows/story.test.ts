// The story that Oriole is for: people, a group, a device and a backend, with stock clients, over a kill -9.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import { type BrokerProcess, spawnBroker } from '../helpers/broker.ts'
import { type Company, makeCompany, type Transport, transports } from './company.ts'
import { mosquittoClients } from './mosquitto.ts'
import { mqttClients, type StockClients, type Version } from './stock-clients.ts'

type MakeClients = (t: TestContext, company: Company, url: string, version: Version) => Promise<StockClients>

const kinds = {
  mqtt: {
    transports,
    make: async (t, { certificates }, url, version) =>
      mqttClients(t, { url, ca: certificates.ca }, await readFile(certificates.ca), version),
  },
  mosquitto: {
    transports: ['tcp', 'tls'],
    make: async (t, { certificates }, url, version) => mosquittoClients(t, { url, ca: certificates.ca }, version),
  },
} satisfies Record<string, { readonly transports: readonly Transport[]; readonly make: MakeClients }>

for (const [kind, { make, transports: spoken }] of Object.entries(kinds)) {
  for (const transport of spoken) {
    for (const version of [4, 5] as const) {
      const name = `story: chat, group, device and command, over a kill -9, with ${kind} over ${transport}, protocol level ${version}`
      test(name, { timeout: 60_000 }, async (t) => {
        const company = await makeCompany(t)
        const start = async (): Promise<{ broker: BrokerProcess; clients: StockClients }> => {
          const broker = await spawnBroker(t, company.configPath, company.folder)
          const url = broker.urls[transports.indexOf(transport)]!
          return { broker, clients: await make(t, company, url, version) }
        }
        await tell(start, version)
      })
    }
  }
}

async function tell(
  start: () => Promise<{ broker: BrokerProcess; clients: StockClients }>,
  version: Version,
): Promise<void> {
  const { broker, clients } = await start()
  const [alice, bob, carol] = await Promise.all([
    clients.join('alice', ['im/u/alice/#', 'im/g/family/#']),
    clients.join('bob', ['im/u/bob/#', 'im/g/family/#']),
    clients.join('carol', ['im/u/carol/#', 'im/g/family/#']),
  ])
  const sensor = await clients.join('sensor1', ['cmd/sensor1/#'])
  const backend = await clients.join('backend', ['dev/#'])

  await clients.publish('alice', 'im/u/bob/alice', ['Hello Bob'])
  assert.deepEqual(await bob.messages(1), ['im/u/bob/alice Hello Bob'])
  await clients.publish('bob', 'im/u/alice/bob', ['Hello Alice'])
  assert.deepEqual(await alice.messages(1), ['im/u/alice/bob Hello Alice'])

  await clients.publish('carol', 'im/g/family/carol', ['Dinner at seven?'])
  const dinner = 'im/g/family/carol Dinner at seven?'
  assert.equal((await alice.messages(2))[1], dinner)
  assert.equal((await bob.messages(2))[1], dinner)
  assert.equal((await carol.messages(1))[0], dinner)

  await clients.publish('sensor1', 'dev/sensor1/temperature', ['21.5', '21.6'])
  await clients.publish('sensor1', 'dev/sensor1/state', ['running'], true)
  assert.deepEqual(await backend.messages(3), [
    'dev/sensor1/temperature 21.5',
    'dev/sensor1/temperature 21.6',
    'dev/sensor1/state running',
  ])
  await clients.publish('backend', 'cmd/sensor1/restart', ['now'])
  assert.deepEqual(await sensor.messages(1), ['cmd/sensor1/restart now'])

  await assertOutsiderIsRefused(clients, version)
  await assertBobMissesNothing(start, broker, clients, bob)
}

/** Dave is in no group, and nobody may write in another's name. */
async function assertOutsiderIsRefused(clients: StockClients, version: Version): Promise<void> {
  const refused = version === 5 ? 0x87 : 0x80
  assert.equal(await clients.subscribeCode('dave', 'im/g/family/#'), refused)
  assert.equal(await clients.subscribeCode('dave', 'im/u/bob/#'), refused)
  assert.equal(await clients.subscribeCode('dave', '#'), refused)
  const outcome = version === 5 ? 0x87 : 'closed'
  assert.equal(await clients.publishOutcome('dave', 'im/g/family/dave'), outcome)
  assert.equal(await clients.publishOutcome('dave', 'im/u/bob/alice'), outcome)
}

async function assertBobMissesNothing(
  start: () => Promise<{ broker: BrokerProcess; clients: StockClients }>,
  broker: BrokerProcess,
  before: StockClients,
  bob: Awaited<ReturnType<StockClients['join']>>,
): Promise<void> {
  assert.equal(bob.received.length, 2)
  await bob.leave()
  const first = numbered('alice', 1, 20)
  const second = numbered('carol', 21, 30)
  const third = numbered('alice', 31, 50)
  await before.publish('alice', 'im/u/bob/alice', first)
  await before.publish('carol', 'im/g/family/carol', second)
  await before.publish('alice', 'im/u/bob/alice', third)
  assert.equal(await broker.kill('SIGKILL'), 'SIGKILL')

  const { clients } = await start()
  const back = await clients.join('bob', ['im/u/bob/#', 'im/g/family/#'])
  await clients.publish('alice', 'im/u/bob/alice', ['end'])
  assert.deepEqual(await back.messages(51), [
    ...first.map((text) => `im/u/bob/alice ${text}`),
    ...second.map((text) => `im/g/family/carol ${text}`),
    ...third.map((text) => `im/u/bob/alice ${text}`),
    'im/u/bob/alice end',
  ])
  const dashboard = await clients.join('backend', ['dev/+/state'], 'dashboard')
  assert.deepEqual(await dashboard.messages(1), ['dev/sensor1/state running'])
}

function numbered(name: string, from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, index) => `${name} ${from + index}`)
}
