// The list of bans as nodes tell each other of it: in whatever order they hear, they end with the same.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { Bans, type BanWord, bansMax } from '../../broker/bans.ts'
import { temporaryFolder } from '../helpers/broker.ts'
import { seeded } from '../helpers/random.ts'

const deadline = { timeout: 60_000 }
const dayMs = 86_400_000

test('bans: whatever each node is told, and in which order they meet, all end with the same', deadline, async (t) => {
  const random = seeded(t)
  for (let round = 0; round < 200; round += 1) {
    const nodes = await Promise.all([1, 2, 3].map(() => Bans.open(undefined)))
    const meet = async (from: Bans, to: Bans) => void (await to.merge([...from.words()], 50))
    for (let step = 0; step < 30; step += 1) {
      const [node, other] = [random.pick(nodes), random.pick(nodes)]
      const [kind, value, now] = ['user' as const, random.pick(['a', 'b', 'c']), random.below(50)]
      const until = random.chance() ? {} : { until: now + random.below(20) }
      if (random.chance(3)) await meet(node, other)
      else if (random.chance()) await node.remove(kind, value, now)
      else await node.add({ kind, value, since: now, ...until, because: String(random.below(3)) }).stored
    }
    for (const from of nodes) for (const to of nodes) await meet(from, to)
    for (const from of nodes) for (const to of nodes) await meet(from, to)
    const lists = nodes.map((node) => JSON.stringify(node.list(50).toSorted((x, y) => (x.value < y.value ? -1 : 1))))
    assert.deepEqual(new Set(lists).size, 1, `round ${round}: ${lists.join('\n')}`)
  }
})

test('bans: a removal and a ban with an end are not undone by what a node heard before', deadline, async (t) => {
  const path = join(await temporaryFolder(t), 'bans.json')
  const bans = await Bans.open(path)
  const mallory = { kind: 'user', value: 'mallory' } as const
  await bans.add({ ...mallory, since: 1_000 }).stored
  const before: BanWord[] = [...bans.words()]
  await bans.remove('user', 'mallory', 500)
  assert.deepEqual(await (await Bans.open(path)).merge(before, 2_000), [], 'a clock that is behind counts no less')
  await bans.add({ ...mallory, since: 3_000, until: 4_000 }).stored
  assert.deepEqual(await (await Bans.open(path)).merge(before, 5_000), [])
  assert.deepEqual((await Bans.open(path)).list(5_000), [])
  // For ever it is not remembered.
  await bans.add({ kind: 'user', value: 'eve', since: 4_001 + 90 * dayMs }).stored
  assert.deepEqual(
    [...bans.words()].map(({ value }) => value),
    ['eve'],
  )
})

test('bans: a full list takes no more, here and from others, but what ends bans', deadline, async () => {
  const full = Array.from({ length: bansMax }, (_, n): BanWord => ({ kind: 'user', value: `u${n}`, since: 1 }))
  const bans = await Bans.open(undefined)
  await bans.merge(full, 2)
  const one = { kind: 'user', value: 'more', since: 3 } as const
  assert.throws(() => bans.add(one), { code: 'ORI_BAN_INVALID' })
  assert.deepEqual(await bans.merge([one, { ...one, value: 'u1', removed: true }], 3), [
    { ...one, value: 'u1', removed: true },
  ])
  bans.add(one)
  assert.equal(bans.list(4).length, bansMax)
})
