// Credentials that end while their client is connected.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Deadlines } from '../../broker/engine/deadlines.ts'
import { startBroker } from '../helpers/broker.ts'
import { HouseRules, pluginEntry } from '../helpers/house-rules.ts'
import { openWith } from '../helpers/open-config.ts'
import { connectRaw, tryConnect } from '../helpers/raw-client.ts'

const deadline = { timeout: 20_000 }

async function house(t: TestContext) {
  const rules = new HouseRules()
  const broker = await startBroker(t, openWith({ plugins: `[${pluginEntry(rules)}]` }))
  return { rules, port: broker.port() }
}

test(
  'expiry: a connection ends with its credentials, not before and not long after, with 0xA0',
  deadline,
  async (t) => {
    const { rules, port } = await house(t)
    const expiresAt = Date.now() + 700
    rules.users = new Map([
      ['alice', { expiresAt }],
      ['old', { expiresAt }],
      ['bob', {}],
    ])
    const alice = await connectRaw(t, port, { clientId: 'alice' })
    const old = await connectRaw(t, port, { clientId: 'old', version: 4 })
    const bob = await connectRaw(t, port, { clientId: 'bob' })
    await alice.disconnected(0xa0)
    const late = Date.now() - expiresAt
    assert.ok(late >= 0 && late < 700, `${late} ms late`)
    await old.closed()
    await bob.nothing()
  },
)

test('expiry: credentials that have ended let nobody in', deadline, async (t) => {
  const { rules, port } = await house(t)
  rules.users = new Map([['alice', { expiresAt: Date.now() - 1 }]])
  const { code, client } = await tryConnect(t, port, { clientId: 'alice' })
  assert.equal(code, 0x87)
  await client.closed()
})

test('expiry: it may be moved while connected, and be further away than a timer reaches', deadline, async (t) => {
  const { rules, port } = await house(t)
  const soon = Date.now() + 400
  rules.users = new Map([
    ['alice', { expiresAt: soon }],
    ['bob', { expiresAt: Date.now() + 2 ** 31 * 50 }],
    ['carol', { expiresAt: soon }],
  ])
  const [alice, bob, carol] = await Promise.all(
    ['alice', 'bob', 'carol'].map((clientId) => connectRaw(t, port, { clientId })),
  )
  rules.broker.changeIdentity('alice', { ...rules.identityOf('alice')!, expiresAt: Date.now() + 2 ** 32 })
  await carol!.disconnected(0xa0)
  await alice!.nothing()
  await bob!.nothing()
  rules.broker.changeIdentity('bob', { ...rules.identityOf('bob')!, expiresAt: Date.now() })
  await bob!.disconnected(0xa0)
})

test('expiry: deadlines of any distance are kept in their order', deadline, () => {
  const deadlines = new Deadlines<string>(100)
  const now = Date.now()
  deadlines.set('in 60 days', now + 60 * 86_400_000)
  deadlines.set('in a second', now + 1_000)
  deadlines.set('never', now + 2 ** 42)
  assert.deepEqual(deadlines.due(now + 900), [])
  assert.deepEqual(deadlines.due(now + 1_101), ['in a second'])
  assert.deepEqual(deadlines.due(now + 59 * 86_400_000), [])
  assert.deepEqual(deadlines.due(now + 61 * 86_400_000), ['in 60 days'])
})
