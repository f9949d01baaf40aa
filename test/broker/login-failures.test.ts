// A plugin that fails at a login has found no password wrong: nobody comes in, and nobody is banned for it.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { ExchangeAnswer, Hooks } from '../../broker/plugin.ts'
import { authPacket } from '../helpers/auth-client.ts'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { HouseRules, pluginEntry } from '../helpers/house-rules.ts'
import { metric, openWith } from '../helpers/open-config.ts'
import { type ConnectOptions, connectRaw, tryConnect, type Version } from '../helpers/raw-client.ts'

const deadline = { timeout: 30_000 }
const serverBusy = 0x89
const serverUnavailable = 3

async function house(t: TestContext) {
  const folder = await temporaryFolder(t)
  const rules = new HouseRules()
  const limits = 'hookTimeoutMs: 150, failedLogins: { perMinute: 2, perAddressPerMinute: 2, banS: 300 }'
  const config = openWith({ folder, plugins: `[${pluginEntry(rules)}]`, metrics: true, limits })
  const broker = await startBroker(t, config, folder)
  const connect = async (options: ConnectOptions = {}) => {
    const { code } = await tryConnect(t, broker.port(), { clientId: 'phone', username: 'alice', ...options })
    return code
  }
  return { rules, broker, port: broker.port(), connect }
}

const failures: Readonly<Record<string, () => unknown>> = {
  'is silent': () => new Promise(() => {}),
  throws: () => {
    throw new Error('broken')
  },
  rejects: () => Promise.reject(new Error('broken')),
  'gives a malformed answer': () => ({ identity: { username: 7 } }),
  'refuses in a malformed way': () => ({ deny: 'no', serverReference: 7 }),
}

for (const [what, fail] of Object.entries(failures)) {
  test(`login: a plugin that ${what} lets nobody in, and it counts for no failed login`, deadline, async (t) => {
    const { rules, broker, connect, port } = await house(t)
    for (const hook of ['authenticate', 'identify'] as const) {
      rules[hook] = fail as Hooks['authenticate'] & Hooks['identify']
      for (const version of [5, 4, 3, 5] satisfies Version[]) {
        assert.equal(await connect({ version }), version === 5 ? serverBusy : serverUnavailable, `${hook}, ${version}`)
      }
      rules[hook] = undefined
      await (await connectRaw(t, port, { clientId: 'phone', username: 'alice' })).leave()
    }
    assert.equal(await metric(broker, 'oriole_auth_failures_total'), 0)
    assert.equal(await metric(broker, 'oriole_plugin_errors_total'), 8)
  })

  test(`enhanced authentication: a plugin that ${what} lets nobody in, and nobody is banned`, deadline, async (t) => {
    const { rules, broker, connect, port } = await house(t)
    const properties = { authenticationMethod: 'test' }
    const failing = fail as Hooks['authenticateExchange']
    rules.exchange = failing
    for (let attempt = 0; attempt < 3; attempt += 1) assert.equal(await connect({ properties }), serverBusy)
    const accept: ExchangeAnswer = { identity: { username: 'alice', groups: [], roles: [], attributes: {} } }
    rules.exchange = () => accept
    const client = await connectRaw(t, port, { clientId: 'phone', username: 'alice', properties })
    rules.exchange = failing
    client.send(authPacket(0x19, Buffer.from('again'), 'test'))
    await client.disconnected(serverBusy)
    assert.equal(await metric(broker, 'oriole_auth_failures_total'), 0)
  })
}

test('login: beside a plugin that fails, wrong passwords are counted as ever', deadline, async (t) => {
  const { rules, broker, connect } = await house(t)
  rules.authenticate = () => ({ deny: 'wrong password' })
  assert.deepEqual([await connect(), await connect({ version: 4 })], [0x86, 4])
  assert.deepEqual([await connect(), await connect({ version: 4 })], [0x8a, 5])
  assert.equal(await metric(broker, 'oriole_auth_failures_total'), 2)
})
