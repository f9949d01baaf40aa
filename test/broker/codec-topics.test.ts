// Topic names and filters: the examples of the standard, and a slow matcher beside the fast one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  checkTopicLimits,
  filterProblem,
  isValidTopicName,
  levelCount,
  parseShare,
  topicMatches,
} from '../../broker/protocol/topics.ts'
import { seeded } from '../helpers/random.ts'

const deadline = { timeout: 10_000 }

/** 4.7.1.2, 4.7.1.3, 4.7.2 and 4.7.3, and what follows from them. */
const matches: readonly (readonly [filter: string, topic: string, matches: boolean])[] = [
  ['sport/tennis/player1/#', 'sport/tennis/player1', true],
  ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
  ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
  ['sport/tennis/player1/#', 'sport/tennis/player12', false],
  ['sport/#', 'sport', true],
  ['#', 'a', true],
  ['#', '/', true],
  ['sport/tennis/+', 'sport/tennis/player1', true],
  ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
  ['sport/+', 'sport', false],
  ['sport/+', 'sport/', true],
  ['+', '/finance', false],
  ['+/+', '/finance', true],
  ['/+', '/finance', true],
  ['+/tennis/#', 'sport/tennis', true],
  ['#', '$SYS/monitor', false],
  ['+/monitor/Clients', '$SYS/monitor/Clients', false],
  ['$SYS/#', '$SYS/monitor', true],
  ['$SYS/monitor/+', '$SYS/monitor/Clients', true],
  ['a/#', 'a/$b', true],
  ['a/+', 'a/$b', true],
  ['ACCOUNTS', 'Accounts', false],
  ['/finance', 'finance', false],
  ['a/b', 'a/b/c', false],
  ['a/b/c', 'a/b', false],
  ['a', 'ab', false],
  ['ab', 'a', false],
  ['a/', 'a/', true],
  ['a/', 'a', false],
  ['a', 'a/', false],
  ['a/+/c', 'a//c', true],
  ['+/#', 'a', true],
  ['a/+/#', 'a', false],
]

test('topics: filters match topics as in 4.7', deadline, () => {
  for (const [filter, topic, expected] of matches)
    assert.equal(topicMatches(filter, topic), expected, `${filter} ${topic}`)
})

test('topics: the fast matcher agrees with one that splits levels', deadline, (t) => {
  const random = seeded(t)
  const level = (): string => random.pick(['', 'a', 'b', 'ab', '$x', 'ü'])
  for (let round = 0; round < 50_000; round++) {
    const topic = Array.from({ length: 1 + random.below(4) }, level).join('/') || 'a'
    const levels = Array.from({ length: 1 + random.below(4) }, () => (random.chance(3) ? '+' : level()))
    if (random.chance(3)) levels.push('#')
    const filter = levels.join('/') || 'a'
    assert.equal(filterProblem(filter), undefined)
    assert.equal(topicMatches(filter, topic), slowMatch(filter, topic), `${filter} ${topic}`)
  }
})

test('topics: a name has no wildcard, no U+0000 and at least one character', deadline, () => {
  for (const topic of ['a', '/', 'a/b', ' ', '$SYS/x', 'ü', 'x'.repeat(65_535)]) assert.ok(isValidTopicName(topic))
  for (const topic of ['', '+', '#', 'a/+', 'a#', 'a\0', 'x'.repeat(65_536), 'ü'.repeat(32_768)]) {
    assert.ok(!isValidTopicName(topic))
  }
})

test('topics: a filter that is too long or holds U+0000 is told', deadline, () => {
  assert.equal(filterProblem('x'.repeat(65_535)), undefined)
  assert.match(filterProblem('x'.repeat(65_536)) ?? '', /longer/)
  assert.match(filterProblem(`$share/g/${'x'.repeat(65_530)}`) ?? '', /longer/)
  assert.match(filterProblem('a\0') ?? '', /U\+0000/)
})

test('topics: the parts of a shared subscription', deadline, () => {
  assert.deepEqual(parseShare('$share/group/a/+/#'), { share: 'group', filter: 'a/+/#' })
  assert.deepEqual(parseShare('$share/g//'), { share: 'g', filter: '/' })
  assert.equal(parseShare('$share'), undefined)
  assert.equal(parseShare('$shared/g/a'), undefined)
  assert.equal(parseShare('a/$share/g'), undefined)
})

test('topics: limits count bytes and levels', deadline, () => {
  const limits = { topicMaxBytes: 8, topicMaxLevels: 3 }
  assert.equal(levelCount('a//c'), 3)
  assert.equal(checkTopicLimits('12345678', limits), undefined)
  assert.equal(checkTopicLimits('a/b/c', limits), undefined)
  assert.match(checkTopicLimits('123456789', limits) ?? '', /8 bytes/)
  assert.match(checkTopicLimits('üüüüa', limits) ?? '', /8 bytes/)
  assert.match(checkTopicLimits('a/b/c/', limits) ?? '', /3 levels/)
})

function slowMatch(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && /^[+#]/.test(filter)) return false
  const topicLevels = topic.split('/')
  const filterLevels = filter.split('/')
  for (const [index, level] of filterLevels.entries()) {
    if (level === '#') return true
    if (index >= topicLevels.length) return false
    if (level !== '+' && level !== topicLevels[index]) return false
  }
  return filterLevels.length === topicLevels.length
}
