// The shipped files for a cluster: the config of a node shows every setting, and the compose files fit together.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { access, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { checkAll } from '../../broker/check.ts'
import { clusterSchema, redisSchema } from '../../broker/config/cluster-schema.ts'
import { loadConfig } from '../../broker/config/load.ts'
import { formatProblem } from '../../broker/config/problem.ts'
import { configSchema } from '../../broker/config/schema.ts'
import { configOfWorker } from '../../broker/workers.ts'
import { temporaryFolder } from '../helpers/broker.ts'
import { repository } from '../helpers/repository.ts'

const timeout = 20_000
const shipped = join(repository, 'config/cluster.yaml')
const compose = join(repository, 'config/compose')
const key = 'a key of sixteen bytes'

async function mistakes(path: string, env: Record<string, string>): Promise<string[]> {
  return (await checkAll(path, env)).map(formatProblem)
}

test('cluster.yaml: it and the files that it names have no mistakes, whatever node it is for', {
  timeout,
}, async () => {
  assert.deepEqual(await mistakes(shipped, { ORIOLE_CLUSTER_KEY: key }), [])
  const env = { ORIOLE_CLUSTER_KEY: key, ORIOLE_NODE: 'two', ORIOLE_PORT: '1884', ORIOLE_ADMIN_PORT: '8081' }
  const { config } = await loadConfig(shipped, env)
  const { node, listeners, admin, store } = config!
  assert.equal(node, 'two')
  assert.deepEqual([listeners[0]?.type === 'tcp' && listeners[0].port, admin.port], [1884, 8081])
  assert.equal(store.type === 'level' && store.path, './data/two')
  assert.match((await mistakes(shipped, {})).join(), /the environment variable ORIOLE_CLUSTER_KEY is not set/)
})

test('cluster.yaml: it shows every setting of the section, each at its default', { timeout }, async (t) => {
  const text = (await readFile(shipped, 'utf8')).replace(/^( *)#(?=[^ #\n])/gm, '$1')
  const shown = (parse(text) as { cluster: Record<string, unknown> }).cluster
  assert.deepEqual(Object.keys(shown).sort(), Object.keys(clusterSchema.shape).sort())
  const { redis, ...rest } = shown
  const defaults = clusterSchema.parse({ key }) as Record<string, unknown>
  for (const [name, value] of Object.entries(defaults)) {
    if (name !== 'key' && name !== 'redis') assert.deepEqual(rest[name], value, name)
  }
  const shownRedis = redis as Record<string, unknown>
  assert.deepEqual(Object.keys(shownRedis).sort(), Object.keys(redisSchema.shape).sort())
  assert.deepEqual(Object.keys(shownRedis.tls as object).sort(), ['ca', 'certificate', 'key', 'serverName'])
  // One way to Redis at a time; with the others taken out all of it is accepted.
  for (const way of ['host', 'path', 'nodes']) {
    const { url, host, port, path, sentinels, nodes, ...others } = shownRedis
    const one = { ...others, [way]: shownRedis[way], ...(way === 'host' ? { port } : {}) }
    const config = join(await temporaryFolder(t), 'oriole.yaml')
    await writeFile(config, JSON.stringify({ cluster: { ...rest, key, redis: one } }))
    const { problems } = await loadConfig(config, { REDIS_PASSWORD: 'x', SENTINEL_PASSWORD: 'x' })
    assert.deepEqual(problems.map(formatProblem), [], way)
  }
})

interface Service {
  readonly environment?: Readonly<Record<string, string>>
  readonly volumes: readonly string[]
  readonly ports?: readonly string[]
  readonly command?: readonly string[]
}

test('compose: three nodes with names and volumes of their own, and a config without mistakes', {
  timeout,
}, async () => {
  const { services, volumes } = parse(await readFile(join(compose, 'compose.yaml'), 'utf8'), { merge: true }) as {
    services: Record<string, Service>
    volumes: Record<string, unknown>
  }
  assert.deepEqual(Object.keys(services).sort(), ['haproxy', 'one', 'redis', 'three', 'two'])
  for (const name of ['one', 'two', 'three']) {
    const { environment, command, volumes: mounts } = services[name]!
    assert.equal(environment?.ORIOLE_NODE, name)
    assert.deepEqual(command, ['start', '--config', 'config/compose/oriole.yaml'])
    assert.equal(environment?.ORIOLE_CONFIG, command?.[2])
    assert.equal(mounts[0], `${name}:/var/lib/oriole`)
    assert.ok(Object.hasOwn(volumes, name))
    const env = { ...environment, ORIOLE_CLUSTER_KEY: key, REDIS_PASSWORD: 'x' }
    assert.deepEqual(await mistakes(join(compose, 'oriole.yaml'), env), [])
  }
  for (const { ports = [] } of Object.values(services)) {
    for (const port of ports) assert.match(port, /^127\.0\.0\.1:/, 'what is published is loopback')
  }
  assert.ok(services.redis?.command?.includes('--requirepass'))
})

test('compose: HAProxy knows each node, speaks the PROXY protocol to it, and finds no mistake', {
  timeout,
}, async (t) => {
  const config = await readFile(join(compose, 'haproxy.cfg'), 'utf8')
  const node = parse(await readFile(join(compose, 'oriole.yaml'), 'utf8')) as {
    listeners: { port: number; proxyProtocol: boolean }[]
  }
  const servers = [...config.matchAll(/^ +server (\w+) (\w+):(\d+)/gm)].map(([, name, host, port]) => [
    name,
    host,
    port,
  ])
  const port = String(node.listeners[0]?.port)
  assert.deepEqual(
    servers,
    ['one', 'two', 'three'].map((name) => [name, name, port]),
  )
  assert.equal(node.listeners[0]?.proxyProtocol, true)
  assert.match(config, /^ +default-server .*send-proxy-v2 check-send-proxy/m)
  const { status, error, stderr } = spawnSync('haproxy', ['-c', '-f', join(compose, 'haproxy.cfg')], {
    encoding: 'utf8',
  })
  if (error !== undefined) return t.skip('haproxy is not installed')
  assert.equal(status, 0, stderr)
  return undefined
})

test('Dockerfile: it copies only what is there', { timeout }, async () => {
  const text = await readFile(join(repository, 'Dockerfile'), 'utf8')
  for (const [, sources = ''] of text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)) {
    for (const source of sources.split(' ')) await access(join(repository, source))
  }
})

test('workers: nodes of one machine have no replicas unless the config says so', () => {
  const of = (cluster: object) => {
    const config = configSchema.parse({ workers: 2, cluster: { key, ...cluster } })
    return configOfWorker(config, 1).cluster?.replicas
  }
  assert.deepEqual([of({}), of({ replicas: 1 }), of({ replicas: 0 })], [0, 1, 0])
})
