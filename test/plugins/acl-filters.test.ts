// The comparison of filters in acl-file, against what the words mean: all topics that can tell the difference.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { covers } from '../../plugins/acl/covering.ts'
import { filterMistake, MatchTree, overlaps } from '../../plugins/acl/filters.ts'
import { matcherOf, sequences } from '../helpers/topic-enumeration.ts'

const deadline = { timeout: 60_000 }

/** The empty topic among them: nobody can publish it, but `/#` is compared as if its parent level could be one. */
const topics = sequences(['a', 'b', '', '$s', 'zz'], 4)
const filters = sequences(['a', '', '+', '#', '$s'], 3).filter((filter) => filterMistake(filter) === undefined)
const matched = new Map(filters.map((filter) => [filter, topics.filter((topic) => matcherOf(filter).test(topic))]))

function treeOf(...filters: readonly string[]): MatchTree<true> {
  const tree = new MatchTree<true>()
  for (const filter of filters) tree.add(filter, true)
  return tree
}

test('acl filters: covers says exactly whether every topic of one filter belongs to the other', deadline, () => {
  for (const allowed of filters) {
    const wide = new Set(matched.get(allowed))
    const tree = treeOf(allowed)
    for (const filter of filters) {
      const expected = matched.get(filter)!.every((topic) => wide.has(topic))
      assert.equal(covers(tree, filter), expected, `covers("${allowed}", "${filter}")`)
    }
  }
})

test('acl filters: overlaps says exactly whether two filters share a topic', deadline, () => {
  for (const one of filters) {
    const left = new Set(matched.get(one))
    for (const other of filters) {
      const expected = matched.get(other)!.some((topic) => left.has(topic))
      assert.equal(overlaps(one, other), expected, `overlaps("${one}", "${other}")`)
    }
  }
})

test('acl filters: the tree finds exactly the filters that match a topic', deadline, () => {
  const tree = new MatchTree<string>()
  for (const filter of filters) tree.add(filter, filter)
  for (const topic of topics) {
    const expected = filters.filter((filter) => matcherOf(filter).test(topic))
    assert.deepEqual(tree.match(topic).sort(), expected.sort(), topic)
  }
})

test('acl filters: what everybody should know about wildcards and $ topics', deadline, () => {
  const cases: [allowed: string, filter: string, covered: boolean][] = [
    ['#', '#', true],
    ['a/#', '#', false],
    ['#', '$SYS/#', false],
    ['+/#', '$SYS/#', false],
    ['$SYS/#', '$SYS/broker/+', true],
    ['a/#', 'a', true],
    ['a/+', 'a/#', false],
    ['a/+', 'a', false],
    ['+', '$SYS', false],
    ['a/+/c', 'a/b/c', true],
    ['a/b/c', 'a/+/c', false],
    ['im/u/alice/#', 'im/u/+/#', false],
    ['im/u/alice/#', 'im/u/alice/+', true],
  ]
  for (const [allowed, filter, covered] of cases)
    assert.equal(covers(treeOf(allowed), filter), covered, `${allowed} ${filter}`)
})

test('acl filters: a filter with a wildcard in the wrong place is none', deadline, () => {
  for (const filter of ['', 'a#', 'a/#/b', '#/', 'a+', '+a/b', 'a\0b'])
    assert.notEqual(filterMistake(filter), undefined)
  for (const filter of ['#', '+', '/', 'a//b', '+/+/#', '$SYS/#']) assert.equal(filterMistake(filter), undefined)
})
