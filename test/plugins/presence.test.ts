// presence: one retained message for each user, whatever the number of connections.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientOf, type Loaded, load } from '../helpers/plugins.ts'

const deadline = { timeout: 30_000 }
const files = { 'oriole.yaml': 'plugins: [presence]\n' }

const told = ({ published }: Loaded) =>
  published.map(({ topic, payload, retain }) => {
    const { online, since } = JSON.parse(String(payload)) as { online: boolean; since: string }
    assert.equal(retain, true)
    assert.ok(Math.abs(Date.parse(since) - Date.now()) < 60_000)
    return `${topic} ${online}`
  })

test('presence: the first connection of a user says online, the last one to go says offline', deadline, async (t) => {
  const loaded = await load(t, files)
  const { onConnected, onDisconnected } = loaded.hooks
  const phone = clientOf('alice', { id: 'phone' })
  const tablet = clientOf('alice', { id: 'tablet' })
  onConnected!(phone)
  onConnected!(tablet)
  onDisconnected!(phone, 'closed')
  onDisconnected!(phone, 'closed')
  assert.deepEqual(told(loaded), ['im/p/alice true'])
  onDisconnected!(tablet, 'closed')
  assert.deepEqual(told(loaded), ['im/p/alice true', 'im/p/alice false'])
})

test('presence: a takeover by the same client id, in either order, stays online', deadline, async (t) => {
  const loaded = await load(t, files)
  const { onConnected, onDisconnected } = loaded.hooks
  const old = clientOf('alice', { id: 'phone' })
  const fresh = clientOf('alice', { id: 'phone' })
  onConnected!(old)
  onConnected!(fresh)
  onDisconnected!(old, 'taken over')
  assert.deepEqual(told(loaded), ['im/p/alice true'])
})

test('presence: who has no name of their own, or one that is no topic level, has none', deadline, async (t) => {
  const loaded = await load(t, files)
  for (const name of ['', 'anonymous', 'a/b', '+', '#', '$SYS', 'a\u0000']) loaded.hooks.onConnected!(clientOf(name))
  assert.deepEqual(told(loaded), [])
})

test(
  'presence: the topic can be chosen, and a name with a replacement pattern is taken literally',
  deadline,
  async (t) => {
    const loaded = await load(t, { 'oriole.yaml': 'plugins: [{ presence: { topic: "status/{user}/now", qos: 0 } }]\n' })
    loaded.hooks.onConnected!(clientOf('a$&b'))
    assert.deepEqual(told(loaded), ['status/a$&b/now true'])
    assert.equal(loaded.published[0]?.qos, 0)
  },
)

test('presence: who was online when the broker ended is offline at its next start', deadline, async (t) => {
  const first = await load(t, files)
  first.hooks.onConnected!(clientOf('alice'))
  first.hooks.onConnected!(clientOf('bob'))
  first.hooks.onDisconnected!(clientOf('carol'), 'closed')
  await first.stop()
  const second = await load(t, {}, first.folder)
  assert.deepEqual(told(second), ['im/p/alice false', 'im/p/bob false'])
  await second.stop()
  const third = await load(t, {}, first.folder)
  assert.deepEqual(told(third), [])
})
