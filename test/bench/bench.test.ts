// The bench goes on working: its generator compiles, and one tiny row runs against a real broker.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startOriole } from '../../bench/brokers/oriole.ts'
import { buildGenerator, type Generator } from '../../bench/generator.ts'
import { measureRow } from '../../bench/measure.ts'
import { Unavailable } from '../../bench/programs.ts'
import { rowText } from '../../bench/report.ts'
import type { Bench, Row } from '../../bench/row.ts'
import { sideOf } from '../../bench/rows/sides.ts'
import { rows } from '../../bench/rows.ts'
import { Scope } from '../../bench/scope.ts'

test('bench: a tiny row runs from end to end', { timeout: 60_000 }, async (t) => {
  const generator = await generatorOrSkip(t)
  if (generator === undefined) return
  const scope = new Scope()
  t.after(() => scope.end())
  const made = new Map<string, unknown>()
  const bench: Bench = {
    generator,
    seconds: 0.3,
    node: process.execPath,
    profiles: undefined,
    async once<T>(key: string, make: (scope: Scope) => Promise<T>): Promise<T> {
      if (!made.has(key)) made.set(key, await make(scope))
      return made.get(key) as T
    },
  }
  const load = ['--mode', 'pair', '--publishers', '2', '--qos', '1', '--warmup', '0.1']
  const row: Row = {
    name: 'tiny',
    issue: 5,
    work: '2 pairs, QoS 1',
    figure: 'deliveredPerS',
    sides: [
      sideOf('TCP', startOriole)(load),
      sideOf('WebSocket', startOriole)([...load, '--websocket', '/mqtt'], {
        more: ({ webSocketPort }) => ['--port', String(webSocketPort)],
      }),
    ],
    targets: [{ kind: 'ratio', of: 'WebSocket', to: 'TCP', atLeast: 0.000001 }],
  }
  const result = await measureRow(bench, row, 1, {
    sample() {},
    skipped: (_row, side, why) => assert.fail(`${side}: ${why}`),
  })
  assert.equal(result.targets[0]?.reached, true, rowText(result))
  assert.ok((result.sides[0]?.samples[0]?.figures.deliveredPerS ?? 0) > 0)
  assert.ok((result.sides[0]?.samples[0]?.brokerShare ?? -1) >= 0)
})

test('bench: every target names sides of its row', () => {
  for (const row of rows) {
    const sides = row.sides.map(({ name }) => name)
    for (const target of row.targets) {
      assert.ok(sides.includes(target.of), `${row.name} has no side ${target.of}`)
      if ('to' in target) assert.ok(sides.includes(target.to), `${row.name} has no side ${target.to}`)
    }
  }
  assert.equal(new Set(rows.map(({ name }) => name)).size, rows.length)
})

async function generatorOrSkip(t: TestContext): Promise<Generator | undefined> {
  try {
    return await buildGenerator()
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    t.skip(error.message)
    return undefined
  }
}
