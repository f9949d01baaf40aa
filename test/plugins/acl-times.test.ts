// Time windows of rules: what they mean, and that a right begins and ends with them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isOpen, parseTimes, type TimeWindow } from '../../plugins/acl/times.ts'
import { clientOf, load } from '../helpers/plugins.ts'

const deadline = { timeout: 30_000 }

function windowOf(text: string): TimeWindow {
  const window = parseTimes(text)
  assert.ok(typeof window !== 'string', `${text}: ${String(window)}`)
  return window
}

test('acl times: days, hours, zones, and windows over midnight', deadline, () => {
  // 2026-11-28 is a Saturday.
  const cases: [text: string, at: string, open: boolean][] = [
    ['mon-fri 08:00-18:00 UTC', '2026-11-27T08:00:00Z', true],
    ['mon-fri 08:00-18:00 UTC', '2026-11-27T07:59:59Z', false],
    ['mon-fri 08:00-18:00 UTC', '2026-11-27T17:59:59Z', true],
    ['mon-fri 08:00-18:00 UTC', '2026-11-27T18:00:00Z', false],
    ['mon-fri 08:00-18:00 UTC', '2026-11-28T12:00:00Z', false],
    ['sat,sun UTC', '2026-11-28T00:00:00Z', true],
    ['sat,sun UTC', '2026-11-30T00:00:00Z', false],
    ['fri-mon UTC', '2026-11-29T12:00:00Z', true],
    ['fri-mon UTC', '2026-12-01T12:00:00Z', false],
    ['fri 22:00-06:00 UTC', '2026-11-27T23:00:00Z', true],
    ['fri 22:00-06:00 UTC', '2026-11-28T05:59:00Z', true],
    ['fri 22:00-06:00 UTC', '2026-11-28T06:00:00Z', false],
    ['fri 22:00-06:00 UTC', '2026-11-27T05:00:00Z', false],
    ['08:00-24:00 UTC', '2026-11-28T23:59:59Z', true],
    ['08:00-18:00 Europe/Berlin', '2026-11-27T07:30:00Z', true],
    ['08:00-18:00 Europe/Berlin', '2026-07-27T06:30:00Z', true],
    ['08:00-18:00 Europe/Berlin', '2026-11-27T06:30:00Z', false],
    ['mon 00:00-01:00 Asia/Tokyo', '2026-11-29T15:30:00Z', true],
  ]
  for (const [text, at, open] of cases) assert.equal(isOpen(windowOf(text), Date.parse(at)), open, `${text} at ${at}`)
})

test('acl times: what is no window is told so', deadline, () => {
  const wrong = [
    '',
    'mon-',
    'moon',
    '8:00-18:00',
    '08:00',
    '08:00-08:00',
    '24:00-25:00',
    '08:60-09:00',
    'mon 08:00-18:00 UTC x',
  ]
  for (const text of [...wrong, 'mon Nowhere/City', 'UTC']) assert.equal(typeof parseTimes(text), 'string', text)
})

test(
  'acl times: a right comes and goes with its window, and whoever is connected is asked again',
  deadline,
  async (t) => {
    t.mock.timers.enable({ apis: ['Date', 'setTimeout'], now: Date.parse('2026-11-27T07:59:30Z') })
    const { hooks, clients, asked } = await load(t, {
      'oriole.yaml': 'plugins:\n  - acl-file: { rules: acl.yaml }\n',
      'acl.yaml': `- allow: { publish: [work], times: "mon-fri 08:00-18:00 UTC" }
- deny: { publish: [work], since: 2026-11-27T09:00:10Z, until: 2026-11-27T09:00:20Z }
`,
    })
    const alice = clientOf('alice')
    clients.push(alice)
    const may = async () =>
      (await hooks.authorizePublish(alice, { topic: 'work', qos: 1, retain: false, will: false })).allow
    assert.equal(await may(), false)
    t.mock.timers.tick(30_000)
    assert.equal(await may(), true)
    assert.deepEqual(asked, ['alice-phone'])
    for (let second = 0; second < 3_609; second++) t.mock.timers.tick(1_000)
    assert.deepEqual([await may(), asked.length], [true, 1])
    t.mock.timers.tick(1_000)
    assert.deepEqual([await may(), asked.length], [false, 2])
    t.mock.timers.tick(10_000)
    assert.deepEqual([await may(), asked.length], [true, 3])
  },
)
