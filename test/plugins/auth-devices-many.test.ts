// A hundred thousand devices with tokens in one file.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeToken } from '../../broker/password.ts'
import { credentialsOf, load } from '../helpers/plugins.ts'

test('devices: 100,000 of them are read, and none of them needs the queue of hashes', {
  timeout: 120_000,
}, async (t) => {
  const devices = Array.from({ length: 100_000 }, (_, at) => ({ name: `device-${at}`, ...makeToken() }))
  const line = ({ name, hash }: (typeof devices)[number]) =>
    `${name}: { password: "${hash}", added: 2026-11-28, groups: [all] }\n`
  const begun = performance.now()
  const { hooks } = await load(t, {
    'oriole.yaml': 'plugins:\n  - auth-file: { users: users.yaml, devices: devices.yaml, admin: false }\n',
    'users.yaml': '{}\n',
    'devices.yaml': devices.map(line).join(''),
  })
  const read = performance.now()
  // Every tenth: the machine of a test may be busy, and the others are no different.
  const coming = devices.filter((_, at) => at % 10 === 0)
  const answers = await Promise.all(coming.map(({ name, token }) => hooks.authenticate(credentialsOf(name, token))))
  assert.deepEqual(
    answers.map((answer) => ('identity' in answer ? answer.identity.username : answer.deny)),
    coming.map(({ name }) => name),
  )
  const perLoginUs = ((performance.now() - read) / coming.length) * 1_000
  t.diagnostic(`read in ${Math.round(read - begun)} ms; ${perLoginUs.toFixed(1)} us for each login, all hooks included`)
})
