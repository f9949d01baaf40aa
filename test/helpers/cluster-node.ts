// Nodes of a cluster for tests: real brokers in this process, with a real Redis between them.
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { startBroker, type TestBroker, temporaryFolder } from './broker.ts'
import type { TestRedis } from './redis.ts'

export interface NodeSettings {
  /** More lines of the config. */
  readonly more?: string
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
  const folder = settings.folder ?? (await temporaryFolder(t))
  const config = `
node: ${name}
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: level, path: ${join(folder, 'data')}, durability: os }
admin: { enabled: false }
plugins: [auth-anonymous, acl-open]
cluster: { key: "a key for tests only", redis: { url: "${redis.url}" } }
${settings.more ?? ''}
`
  return { ...(await startBroker(t, config, folder)), folder }
}
