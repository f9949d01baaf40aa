// Password hashes: what is right, what is wrong, what is malformed, and how many run at once.
import assert from 'node:assert/strict'
import { scryptSync } from 'node:crypto'
import { test } from 'node:test'
import { costOf, decoyHash, hashPassword, isPasswordHash, makeToken, verifyPassword } from '../../broker/password.ts'

const timeout = 30_000

test('password: a hash fits its password only, and never repeats', { timeout }, async () => {
  const [one, other] = await Promise.all([hashPassword('secret words'), hashPassword(Buffer.from('secret words'))])
  assert.match(one, /^scrypt\$N=16384,r=8,p=1\$[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+$/)
  assert.notEqual(one, other)
  assert.deepEqual(await verifyPassword(Buffer.from('secret words'), other), { ok: true, outdated: false })
  assert.deepEqual(await verifyPassword(Buffer.from('secret word'), other), { ok: false, outdated: false })
})

test('password: a hash with other parameters is right and outdated', { timeout }, async () => {
  const salt = Buffer.from('0123456789abcdef')
  const hash = scryptSync('old', salt, 32, { N: 1024, r: 8, p: 1 })
  const text = `scrypt$N=1024,r=8,p=1$${salt.toString('base64')}$${hash.toString('base64')}`
  assert.deepEqual(await verifyPassword(Buffer.from('old'), text), { ok: true, outdated: true })
  assert.deepEqual(await verifyPassword(Buffer.from('new'), text), { ok: false, outdated: false })
})

test('password: a malformed hash, or one that asks for too much, is simply wrong', { timeout }, async () => {
  const tail = 'MDEyMzQ1Njc4OWFiY2RlZg==$MDEyMzQ1Njc4OWFiY2RlZg=='
  const malformed = [
    '',
    'plain',
    'scrypt$',
    `scrypt$N=1000,r=8,p=1$${tail}`,
    `scrypt$N=0,r=8,p=1$${tail}`,
    `scrypt$N=16384,r=0,p=1$${tail}`,
    `scrypt$N=16384,r=8,p=1000$${tail}`,
    `scrypt$N=536870912,r=8,p=1$${tail}`,
    `scrypt$N=16384,r=8,p=1$${tail}x y`,
    `scrypt$N=16384,r=8,p=1$$`,
    `bcrypt$N=16384,r=8,p=1$${tail}`,
  ]
  for (const hash of malformed) {
    assert.equal(isPasswordHash(hash), false, hash)
    assert.deepEqual(await verifyPassword(Buffer.from(''), hash), { ok: false, outdated: false }, hash)
  }
})

test('password: many at once are all answered', { timeout }, async () => {
  const hash = await hashPassword('x')
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) => verifyPassword(Buffer.from(index % 2 === 0 ? 'x' : 'y'), hash)),
  )
  assert.deepEqual(
    answers.map(({ ok }) => ok),
    answers.map((_, index) => index % 2 === 0),
  )
})

test('password: a decoy costs what the hash costs that it stands for, and lets nobody in', { timeout }, async () => {
  const tail = 'MDEyMzQ1Njc4OWFiY2RlZg==$MDEyMzQ1Njc4OWFiY2RlZg=='
  const sha512 = `${'A'.repeat(86)}==`
  const hashes = {
    [await hashPassword('x')]: 1,
    [`scrypt$N=8192,r=8,p=2$${tail}`]: 1,
    [`scrypt$N=1024,r=8,p=1$${tail}`]: 1 / 16,
    [`$6$MDEyMzQ1Njc4OWFi$${sha512}`]: 0,
    [`$7$101$MDEyMzQ1Njc4OWFi$${sha512}`]: 0,
    [`$7$110000$MDEyMzQ1Njc4OWFi$${sha512}`]: 2,
  }
  for (const [hash, work] of Object.entries(hashes)) {
    const cost = costOf(hash)!
    assert.equal(Math.round(cost.work * 16), work * 16, hash)
    const decoy = decoyHash(hash)
    assert.deepEqual(costOf(decoy), cost)
    assert.notEqual(decoy, decoyHash(hash))
    assert.deepEqual(await verifyPassword(Buffer.from('x'), decoy), { ok: false, outdated: false })
  }
  assert.equal(costOf(decoyHash())?.work, 1)
  assert.deepEqual([costOf(makeToken().hash), costOf('plain')], [undefined, undefined])
})
