// A broker in a process of its own with its data on disk, on a port that stays: ended, and started again on the same data.
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type BrokerProcess, type Cleanup, spawnBroker, temporaryFolder } from '../helpers/broker.ts'
import { testLimits } from '../helpers/store.ts'

/** Larger than any run: what is looked for is loss, and a full ring drops by design. */
export const roomyLimits = { ...testLimits, queueMessages: 1_000_000, queueBytes: 1_000_000_000 }

export interface DiskBroker {
  readonly port: number
  readonly dataPath: string
  /** `launcher`: a program with its arguments that is to run it, as strace does. */
  start(launcher?: readonly string[]): Promise<BrokerProcess>
}

export interface DiskBrokerOptions {
  /** In a temporary folder when left out. */
  readonly dataPath?: string
  /** With `/ready` and `/metrics` on a free port. */
  readonly admin?: boolean
}

export async function diskBroker(t: Cleanup, options: DiskBrokerOptions = {}): Promise<DiskBroker> {
  const folder = await temporaryFolder(t)
  const { dataPath = join(folder, 'data'), admin = false } = options
  const port = await freePort()
  const { queueMessages, queueBytes } = roomyLimits
  await writeFile(
    join(folder, 'oriole.yaml'),
    `node: chaos
listeners: [{ name: tcp, type: tcp, port: ${port} }]
limits: { queueMessages: ${queueMessages}, queueBytes: ${queueBytes}, sessionsPerUser: 100000, loopDelayMs: 0 }
store: { type: level, path: ${dataPath}, durability: disk }
log: { format: json }
admin: ${admin ? '{ port: 0 }' : '{ enabled: false }'}
plugins: [auth-anonymous, acl-open]
`,
  )
  return { port, dataPath, start: (launcher) => spawnBroker(t, 'oriole.yaml', folder, launcher) }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
