// The metrics: every count is published under its name, and what is counted is what is read.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics, type Metrics } from '../../broker/metrics/metrics.ts'

const timeout = 10_000

test('metrics: what is counted is what is read, with its labels', { timeout }, async (t) => {
  const metrics = createMetrics()
  t.after(() => metrics.close())
  const { counts } = metrics
  counts.connectionsOpened += 2
  counts.messagesReceived.qos1++
  counts.messagesDropped.queue_full += 3
  counts.connectionsRefused.address_rate++
  counts.connectsRefused[0x87]++
  counts.disconnectsSent[0x8e]++
  counts.aclDenied.will++
  const lines = await read(metrics)
  assert.equal(lines.get('oriole_connections_opened_total'), 2)
  assert.equal(lines.get('oriole_messages_received_total{qos="0"}'), 0)
  assert.equal(lines.get('oriole_messages_received_total{qos="1"}'), 1)
  assert.equal(lines.get('oriole_messages_dropped_total{reason="queue_full"}'), 3)
  assert.equal(lines.get('oriole_connections_refused_total{reason="address_rate"}'), 1)
  assert.equal(lines.get('oriole_connects_refused_total{reason="not_authorized"}'), 1)
  assert.equal(lines.get('oriole_disconnects_total{reason="session_taken_over"}'), 1)
  assert.equal(lines.get('oriole_acl_denied_total{kind="will"}'), 1)
  counts.connectionsOpened++
  assert.equal((await read(metrics)).get('oriole_connections_opened_total'), 3, 'read anew, not added again')
})

test('metrics: each number has a help text and the name of its kind', { timeout }, async (t) => {
  const metrics = createMetrics()
  t.after(() => metrics.close())
  const text = await metrics.render()
  const types = [...text.matchAll(/^# TYPE (oriole_\S+) (\S+)$/gm)]
  assert.ok(types.length > 25)
  for (const [, name, type] of types) {
    assert.match(text, new RegExp(`^# HELP ${name} [A-Z].*\\.$`, 'm'))
    assert.equal(type === 'counter', name?.endsWith('_total'), `${name} is a ${type}`)
  }
})

test('metrics: a gauge is read when somebody asks, and absent before it is known', { timeout }, async (t) => {
  const metrics = createMetrics()
  t.after(() => metrics.close())
  assert.equal((await read(metrics)).has('oriole_connections'), false)
  let connections = 7
  metrics.gauge('connections', () => connections)
  assert.equal((await read(metrics)).get('oriole_connections'), 7)
  connections = 8
  assert.equal((await read(metrics)).get('oriole_connections'), 8)
  metrics.gauge('connections', () => 9)
  assert.equal((await read(metrics)).get('oriole_connections'), 9)
})

test('metrics: a gauge with a label has a line for each value, and none for what is gone', { timeout }, async (t) => {
  const metrics = createMetrics()
  t.after(() => metrics.close())
  let waiting = new Map([
    ['one', 3],
    ['two', 0],
  ])
  metrics.gauge('clusterOutboxMessages', () => waiting)
  assert.equal((await read(metrics)).get('oriole_cluster_outbox_messages{node="one"}'), 3)
  assert.equal((await read(metrics)).get('oriole_cluster_outbox_messages{node="two"}'), 0)
  waiting = new Map([['two', 5]])
  const lines = await read(metrics)
  assert.equal(lines.has('oriole_cluster_outbox_messages{node="one"}'), false)
  assert.equal(lines.get('oriole_cluster_outbox_messages{node="two"}'), 5)
})

test('metrics: commit times are a histogram in seconds', { timeout }, async (t) => {
  const metrics = createMetrics()
  t.after(() => metrics.close())
  metrics.observeCommit(0.003)
  metrics.observeCommit(0.3)
  const lines = await read(metrics)
  assert.equal(lines.get('oriole_commit_seconds_count'), 2)
  assert.equal(lines.get('oriole_commit_seconds_bucket{le="0.005"}'), 1)
  assert.equal(lines.get('oriole_commit_seconds_bucket{le="+Inf"}'), 2)
})

test('metrics: a blocked event loop shows in the loop delay', { timeout }, async (t) => {
  const metrics = createMetrics()
  t.after(() => metrics.close())
  // The timer of the histogram must have run once before the block, and once after it, to notice it.
  const delay = (): number => metrics.loopDelay.seconds.max
  const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1))
  for (let block = Date.now() + 300; Date.now() < block; ) await turn()
  for (let block = Date.now() + 150; Date.now() < block; );
  while (delay() < 0.1) await turn()
  assert.ok(delay() < 5)
  const lines = await read(metrics)
  assert.ok((lines.get('oriole_loop_delay_seconds{quantile="1"}') ?? 0) >= 0.1)
  assert.ok((lines.get('oriole_loop_delay_seconds{quantile="0.5"}') ?? 1) < 0.1)
})

test('metrics: two brokers in one process count for themselves', { timeout }, async (t) => {
  const [one, two] = [createMetrics(), createMetrics()]
  t.after(() => {
    one.close()
    two.close()
  })
  one.counts.commits = 5
  assert.equal((await read(one)).get('oriole_commits_total'), 5)
  assert.equal((await read(two)).get('oriole_commits_total'), 0)
  assert.ok((await read(two)).has('process_cpu_seconds_total'), 'the numbers of the process are there too')
})

async function read(metrics: Metrics): Promise<Map<string, number>> {
  const lines = (await metrics.render()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]))
}
