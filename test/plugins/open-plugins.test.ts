// auth-anonymous and acl-open: open where that was asked for, and closed where it never may be.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientOf, credentialsOf, load } from '../helpers/plugins.ts'

const deadline = { timeout: 30_000 }

test('auth-anonymous: everyone on this machine comes in, by the given name or as nobody', deadline, async (t) => {
  const { hooks } = await load(t, { 'oriole.yaml': 'plugins: [auth-anonymous]\n' })
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '']) {
    const named = await hooks.authenticate(credentialsOf('alice', 'whatever', { address }))
    assert.equal('identity' in named && named.identity.username, 'alice', address)
    const nameless = await hooks.authenticate(credentialsOf(undefined, undefined, { address }))
    assert.equal('identity' in nameless && nameless.identity.username, '', address)
  }
})

test('auth-anonymous: nobody comes in from another machine', deadline, async (t) => {
  const { hooks } = await load(t, { 'oriole.yaml': 'plugins: [auth-anonymous]\n' })
  for (const address of ['10.0.0.1', '192.168.1.7', '::ffff:10.0.0.1', 'fe80::1', '2001:db8::1', 'localhost', 'x']) {
    assert.ok('deny' in (await hooks.authenticate(credentialsOf('alice', 'x', { address }))), address)
  }
})

test('acl-open: everything is allowed but $SYS, and nobody publishes there', deadline, async (t) => {
  const open = await load(t, { 'oriole.yaml': 'plugins: [acl-open]\n' })
  const sys = await load(t, { 'oriole.yaml': 'plugins: [{ acl-open: { sys: true } }]\n' })
  const alice = clientOf('alice')
  const publish = async ({ hooks }: typeof open, topic: string) =>
    (await hooks.authorizePublish(alice, { topic, qos: 0, retain: false, will: false })).allow
  const subscribe = async ({ hooks }: typeof open, filter: string) =>
    (await hooks.authorizeSubscribe(alice, { filter, qos: 0, share: undefined })).allow
  for (const topic of ['a', 'a/b', '/', '$SYSTEM/x']) {
    assert.equal(await publish(open, topic), true)
    assert.equal(await subscribe(open, topic), true)
  }
  assert.equal(await subscribe(open, '#'), true)
  for (const topic of ['$SYS', '$SYS/x']) {
    assert.equal(await publish(open, topic), false)
    assert.equal(await publish(sys, topic), false)
    assert.equal(await subscribe(open, topic), false)
    assert.equal(await subscribe(sys, topic), true)
  }
  assert.equal(await subscribe(open, '$SYS/#'), false)
})
