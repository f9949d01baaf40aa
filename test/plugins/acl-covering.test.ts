// What is granted to a SUBSCRIBE, against brute force: every filter of up to 4 levels over {a, b, empty, $x, +, #}, every
// set of up to two rules of such filters, and every topic of up to 5 levels that could tell a difference. Of questions in
// which one of the rules cannot matter, a part is asked; with COVERING=all all of them are, in a minute of a free core.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { witnesses } from '../../plugins/acl/covering.ts'
import { filterMistake, MatchTree } from '../../plugins/acl/filters.ts'
import { RuleBook } from '../../plugins/acl/rule-book.ts'
import { clientOf } from '../helpers/plugins.ts'
import { matcherOf, sequences } from '../helpers/topic-enumeration.ts'

const deadline = { timeout: 600_000 }
const isAll = process.env.COVERING === 'all'

/** `z` stands for each of the names that no filter here has. */
const topics = sequences(['a', 'b', '', '$x', 'z'], 5)
const filters = sequences(['a', 'b', '', '$x', '+', '#'], 4).filter((filter) => filterMistake(filter) === undefined)
const words = Math.ceil(topics.length / 32)

/** For each filter the topics that it matches, one bit each. */
const matched = filters.map((filter) => {
  const matcher = matcherOf(filter)
  const bits = new Int32Array(words)
  for (const [index, topic] of topics.entries()) if (matcher.test(topic)) bits[index >> 5]! |= 1 << (index & 31)
  return bits
})

function isWithin(inner: Int32Array, outer: Int32Array): boolean {
  for (let word = 0; word < words; word++) if ((inner[word]! & ~outer[word]!) !== 0) return false
  return true
}

function overlap(one: Int32Array, other: Int32Array): boolean {
  for (let word = 0; word < words; word++) if ((one[word]! & other[word]!) !== 0) return true
  return false
}

/** Which filters share a topic. */
const meets = matched.map((one) => Uint8Array.from(matched, (other) => Number(overlap(one, other))))

function union(one: Int32Array, other: Int32Array): Int32Array {
  return one.map((bits, word) => bits | other[word]!)
}

function treeOf(...members: readonly string[]): MatchTree<true> {
  const tree = new MatchTree<true>()
  for (const filter of members) tree.add(filter, true)
  return tree
}

/** The same set of rules with `a` and `b` exchanged says the same of the exchanged filters: one of the two is enough. */
const exchanged = filters.map((filter) => {
  const other = filter.replace(/[ab]/g, (name) => (name === 'a' ? 'b' : 'a'))
  return filters.indexOf(other)
})
function isRepeated(one: number, other: number, { ordered }: { readonly ordered: boolean }): boolean {
  const [x, y] = [exchanged[one]!, exchanged[other]!]
  const [first, second] = ordered || x <= y ? [x, y] : [y, x]
  return first < one || (first === one && second < other)
}

test('acl covering: two allowed filters together cover exactly what brute force says', deadline, (t) => {
  const witnessesOf = [0, 1, 2, 3, 4].map((depth) => filters.map((filter) => witnesses(filter, depth)))
  const differences: string[] = []
  let asked = 0
  for (let one = 0; one < filters.length; one++) {
    for (let other = one; other < filters.length; other++) {
      if (isRepeated(one, other, { ordered: false })) continue
      const tree = treeOf(filters[one]!, filters[other]!)
      const allowed = union(matched[one]!, matched[other]!)
      const needed = witnessesOf[tree.depth]!
      for (let wanted = 0; wanted < filters.length; wanted++) {
        // One that shares no topic with one of the two is covered by the other or not at all, which the next test asks of
        // all: of those, every eighth is asked.
        const meetsBoth = meets[one]![wanted] === 1 && meets[other]![wanted] === 1
        if (!isAll && !meetsBoth && ((one + other + wanted) & 7) !== 0) continue
        asked += 1
        const covered = needed[wanted]!.every((topic) => tree.matchesLevels(topic))
        if (covered !== isWithin(matched[wanted]!, allowed)) {
          differences.push(`${filters[wanted]} by ${filters[one]} and ${filters[other]}`)
        }
      }
    }
  }
  t.diagnostic(`${filters.length} filters, ${asked} questions, ${differences.length} differences`)
  assert.deepEqual(differences.slice(0, 10), [])
})

const anybody = clientOf('anybody')
const bookOf = (...rules: readonly object[]) => new RuleBook(rules, (index) => `acl.yaml:${index + 1}`, 'acl.yaml')

test('acl covering: one rule grants what it covers, and is named', deadline, () => {
  for (const [one, allowed] of filters.entries()) {
    const rights = bookOf({ allow: { subscribe: allowed } }).rightsOf(anybody, 0)
    for (const [wanted, filter] of filters.entries()) {
      const decision = rights.subscribe(filter, 1)
      assert.equal(decision.allow, isWithin(matched[wanted]!, matched[one]!), `${filter} by ${allowed}`)
      assert.equal(decision.withhold, undefined)
      const because = decision.allow ? `acl.yaml:1 allow subscribe ${allowed}` : 'acl.yaml: no rule allows it'
      assert.equal(decision.because, because)
    }
  }
})

/** What is withheld is what the deny matches; the tree that decides it is compared with brute force elsewhere. */
function differenceOf(
  wanted: Int32Array,
  denied: Int32Array,
  allow: boolean,
  withhold: ((topic: string) => boolean) | undefined,
): string | undefined {
  let some: string | undefined
  let free: string | undefined
  for (let word = 0; word < words && (some === undefined || free === undefined); word++) {
    const both = wanted[word]! & denied[word]!
    const rest = wanted[word]! & ~denied[word]!
    if (both !== 0) some ??= topics[word * 32 + 31 - Math.clz32(both & -both)]
    if (rest !== 0) free ??= topics[word * 32 + 31 - Math.clz32(rest & -rest)]
  }
  if (allow !== (free !== undefined)) return allow ? 'granted' : 'refused'
  if (!allow) return undefined
  if ((withhold !== undefined) !== (some !== undefined)) return withhold === undefined ? 'all comes' : 'not all comes'
  if (withhold === undefined) return undefined
  if (!withhold(some!)) return `${some} comes`
  return withhold(free!) ? `${free} does not come` : undefined
}

test(
  'acl covering: of an allow and a deny, all that is denied is refused or withheld, and nothing else',
  deadline,
  (t) => {
    let granted = 0
    let withheld = 0
    const coveredBy = filters.map((_, one) =>
      filters.flatMap((_, wanted) => (isWithin(matched[wanted]!, matched[one]!) ? [wanted] : [])),
    )
    for (const [one, allowed] of filters.entries()) {
      for (const [other, denied] of filters.entries()) {
        if (isRepeated(one, other, { ordered: true })) continue
        // A deny of other topics changes nothing: of such rules, and of such filters, every sixteenth is asked.
        if (!isAll && meets[one]![other] === 0 && (one + other) % 16 !== 0) continue
        const rights = bookOf({ allow: { subscribe: allowed } }, { deny: { subscribe: denied } }).rightsOf(anybody, 0)
        for (const wanted of coveredBy[one]!) {
          if (!isAll && meets[wanted]![other] === 0 && ((one + other + wanted) & 15) !== 0) continue
          const filter = filters[wanted]!
          const { allow, withhold } = rights.subscribe(filter, 1)
          const wrong = differenceOf(matched[wanted]!, matched[other]!, allow, withhold)
          if (wrong !== undefined) assert.fail(`${filter} by allow ${allowed}, deny ${denied}: ${wrong}`)
          if (allow) granted += 1
          if (withhold !== undefined) withheld += 1
        }
      }
    }
    t.diagnostic(`${granted} grants, ${withheld} of them with something withheld`)
  },
)

test('acl covering: two denies together refuse what one of them alone would not', deadline, () => {
  const rights = bookOf({ allow: { subscribe: ['a/#', 'b/#'] } }, { deny: { subscribe: ['a', 'a/+/#'] } }).rightsOf(
    anybody,
    0,
  )
  assert.equal(rights.subscribe('a/#', 1).allow, false)
  assert.equal(rights.subscribe('b/#', 1).allow, true)
})

test(
  'acl covering: the rules that together cover a filter are all named, and the lowest QoS of them counts',
  deadline,
  () => {
    const rights = bookOf(
      { allow: { subscribe: ['a', 'a/+'], qos: [0, 1] } },
      { allow: { subscribe: ['a/+/#'] } },
    ).rightsOf(anybody, 0)
    const { allow, because, maxQos } = rights.subscribe('a/#', 2)
    assert.equal(allow, true)
    assert.equal(maxQos, 1)
    assert.equal(because, 'acl.yaml:1 allow subscribe a and acl.yaml:2 allow subscribe a/+/# together cover a/#')
    assert.equal(rights.subscribe('a/b', 2).maxQos, undefined)
  },
)
