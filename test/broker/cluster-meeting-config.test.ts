// The section `cluster` of the config: what is refused, and where that is told.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the ${…} of the config is what is tested.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type LoadedConfig, loadConfig } from '../../broker/config/load.ts'
import { temporaryFolder } from '../helpers/broker.ts'

const timeout = 20_000
const key = 'sixteen bytes or more'

async function load(t: TestContext, text: string, env: Record<string, string> = {}): Promise<LoadedConfig> {
  const path = join(await temporaryFolder(t), 'oriole.yaml')
  await writeFile(path, text)
  return loadConfig(path, env)
}

/** `line:column: message` of each problem. */
async function problems(t: TestContext, text: string): Promise<string[]> {
  const { problems } = await load(t, text)
  return problems.map(({ line, column, message }) => `${line}:${column}: ${message}`)
}

test('cluster config: a key is enough; the rest has defaults', { timeout }, async (t) => {
  const { config } = await load(t, `cluster:\n  key: ${key}\n`)
  const { cluster } = config!
  assert.deepEqual([cluster?.name, cluster?.key, cluster?.redis], ['oriole', key, {}])
})

test('cluster config: key and password come from the environment', { timeout }, async (t) => {
  const text = 'cluster:\n  key: ${KEY}\n  redis: { host: redis.example, password: "${PASSWORD}" }\n'
  const { config } = await load(t, text, { KEY: key, PASSWORD: 'secret' })
  assert.deepEqual([config?.cluster?.key, config?.cluster?.redis.password], [key, 'secret'])
})

test('cluster config: a short key is refused, and not shown', { timeout }, async (t) => {
  assert.deepEqual(await problems(t, 'cluster:\n  key: short\n'), [
    '2:8: cluster.key: must have at least 16 bytes, the same on all nodes; make one with: openssl rand -base64 32',
  ])
  assert.deepEqual(await problems(t, 'cluster: { name: x }\n'), ['1:10: cluster.key: is missing'])
})

test('cluster config: redis off loopback needs a password or TLS, however it is reached', { timeout }, async (t) => {
  const why = 'is not loopback, and whoever reaches it could read and delete messages; set password or tls'
  const refused: readonly (readonly [redis: string, problem: string])[] = [
    ['{ host: 10.0.0.1 }', `3:18: cluster.redis.host: 10.0.0.1 ${why}`],
    ['{ url: "redis://redis.example:6379" }', `3:17: cluster.redis.url: redis.example ${why}`],
    ['{ url: "redis://user@redis.example" }', `3:17: cluster.redis.url: redis.example ${why}`],
    [
      '{ sentinels: [{ host: 127.0.0.1 }, { host: 10.0.0.2 }], sentinelName: m }',
      `3:53: cluster.redis.sentinels.1.host: 10.0.0.2 ${why}`,
    ],
    ['{ nodes: [{ host: 10.0.0.2, port: 7000 }] }', `3:28: cluster.redis.nodes.0.host: 10.0.0.2 ${why}`],
    ['{ host: 10.0.0.1, tls: false }', `3:18: cluster.redis.host: 10.0.0.1 ${why}`],
  ]
  for (const [redis, problem] of refused) {
    assert.deepEqual(await problems(t, `cluster:\n  key: ${key}\n  redis: ${redis}\n`), [problem], redis)
  }
  for (const redis of [
    '{ host: 10.0.0.1, password: x }',
    '{ host: 10.0.0.1, tls: true }',
    '{ host: 10.0.0.1, tls: { ca: ca.pem } }',
    '{ host: "::1" }',
    '{ host: localhost, port: 1 }',
    '{ path: /run/redis.sock }',
    '{ url: "rediss://redis.example" }',
    '{ url: "redis://:secret@redis.example:6379/2" }',
    '{ url: "redis://[::1]:6379" }',
    '{ sentinels: [{ host: 10.0.0.2, port: 26379 }], sentinelName: m, password: x }',
  ]) {
    assert.deepEqual(await problems(t, `cluster:\n  key: ${key}\n  redis: ${redis}\n`), [], redis)
  }
})

test('cluster config: two ways to redis, half a way and a wrong URL are told', { timeout }, async (t) => {
  const wrong: readonly (readonly [redis: string, problem: string])[] = [
    [
      '{ url: "redis://127.0.0.1", host: 127.0.0.1 }',
      '3:44: cluster.redis.host: there is "url" already; keep one of the two',
    ],
    ['{ url: "redis://127.0.0.1", port: 1 }', '3:44: cluster.redis.port: does not go with "url"; write it there'],
    [
      '{ sentinels: [{ host: 127.0.0.1 }] }',
      '3:23: cluster.redis.sentinels: the name of the master is missing; set sentinelName',
    ],
    ['{ nodes: [{ host: 127.0.0.1 }], db: 1 }', '3:46: cluster.redis.db: a Redis Cluster has only database 0'],
    [
      '{ url: "http://127.0.0.1" }',
      '3:17: cluster.redis.url: is not redis://host:port or rediss://host:port; a Unix socket goes into path',
    ],
    ['{ hots: x }', '3:12: cluster.redis.hots: is not a setting; did you mean "host"?'],
  ]
  for (const [redis, problem] of wrong) {
    assert.deepEqual(await problems(t, `cluster:\n  key: ${key}\n  redis: ${redis}\n`), [problem], redis)
  }
})
