// Nodes of a cluster for tests: real brokers in this process, with a real Redis between them.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { startBroker, type TestBroker } from './broker.ts'
import type { TestRedis } from './redis.ts'

/** Of all clusters of the tests. */
export const clusterKey = 'a key for tests only'

export interface NodeSettings {
  /** More lines of the config. */
  readonly more?: string
  /** More fields of `cluster`. */
  readonly cluster?: string
  /** With the data of a node before it. */
  readonly folder?: string
}

export interface TestNode extends TestBroker {
  readonly folder: string
}

/** A node with LevelDB in a folder of its own, everybody may do everything. */
export async function startNode(
  t: TestContext,
  name: string,
  redis: Pick<TestRedis, 'url'>,
  settings: NodeSettings = {},
): Promise<TestNode> {
  const folder = settings.folder ?? (await mkdtemp(join(tmpdir(), 'oriole-node-')))
  const config = `
node: ${name}
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: level, path: ${join(folder, 'data')}, durability: os }
admin: { enabled: false }
plugins: [auth-anonymous, acl-open]
cluster: { key: "${clusterKey}", redis: { url: "${redis.url}" }${settings.cluster === undefined ? '' : `, ${settings.cluster}`} }
${settings.more ?? ''}
`
  const broker = await startBroker(t, config, folder)
  // Registered after the stop, so that it comes after it.
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))
  return { ...broker, folder }
}
