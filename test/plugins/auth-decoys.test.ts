// Which hashes a wrong login costs: of each kind that the users have, one, whoever it was.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { costOf } from '../../broker/password.ts'
import { Decoys } from '../../plugins/auth/decoy-hashes.ts'
import { load } from '../helpers/plugins.ts'

const deadline = { timeout: 30_000 }
const tail = 'MDEyMzQ1Njc4OWFiY2RlZg==$MDEyMzQ1Njc4OWFiY2RlZg=='
const ours = `scrypt$N=16384,r=8,p=1$${tail}`
const half = `scrypt$N=8192,r=8,p=1$${tail}`
const huge = `scrypt$N=262144,r=8,p=1$${tail}`
const mosquitto = (iterations: number): string => `$7$${iterations}$MDEyMzQ1Njc4OWFi$${'A'.repeat(86)}==`

/** What is hashed in all for a wrong login: the own hash, if there is such a user, and the decoys. */
function hashed(decoys: Decoys, own?: string): readonly (string | undefined)[] {
  return [...(own === undefined ? [] : [own]), ...decoys.beside(own)].map((hash) => costOf(hash)?.kind).toSorted()
}

test('auth-file: a wrong login costs the same for each kind of hash and for nobody', deadline, () => {
  const decoys = new Decoys()
  assert.deepEqual(hashed(decoys), hashed(decoys, ours))
  const hashes = [ours, half, mosquitto(101), mosquitto(20_000), half]
  assert.deepEqual(decoys.follow(hashes), [])
  for (const hash of hashes) assert.deepEqual(hashed(decoys, hash), hashed(decoys))
  assert.equal(hashed(decoys).length, 4)
  decoys.follow([half])
  assert.deepEqual(hashed(decoys, half), hashed(decoys))
  assert.equal(hashed(decoys).length, 2)
})

test(
  'auth-file: what costs too much is left out and named, and does not make every login slow',
  deadline,
  async (t) => {
    const decoys = new Decoys()
    assert.deepEqual(decoys.follow([huge, mosquitto(101), mosquitto(2_000_000)]), [
      'scrypt 262144 8 1',
      'pbkdf2 2000000',
    ])
    assert.equal(hashed(decoys).length, 2)
    const many = Array.from({ length: 100 }, (_, at) => mosquitto(at + 1))
    assert.equal(decoys.follow(many).length, 85)
    const { log } = await load(t, {
      'oriole.yaml': 'plugins:\n  - auth-file: { users: users.yaml, admin: false }\n',
      'users.yaml': `alice: "${huge}"\n`,
    })
    const [line] = log.lines.filter(({ level }) => level === 'warn')
    assert.deepEqual(line?.fields.kinds, ['scrypt 262144 8 1'])
  },
)
