// In a Redis Cluster: connects to the master that has our slot. All keys of Oriole share one slot, so one node is enough.
import { connect as connectPlain, Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { AbstractConnector, Redis, type RedisOptions } from 'ioredis'

interface Address {
  readonly host: string
  readonly port: number
}

type Stream = Awaited<ReturnType<AbstractConnector['connect']>>

/** A connector class for ioredis. It asks the nodes again at each connect, so a failover or a moved slot is followed. */
export function slotConnector(
  nodes: readonly Address[],
  slotKey: string,
  options: RedisOptions,
): NonNullable<RedisOptions['Connector']> {
  return class SlotConnector extends AbstractConnector {
    constructor() {
      super(options.disconnectTimeout ?? 100)
    }

    override async connect(): Promise<Stream> {
      this.connecting = true
      const master = await findMaster(nodes, slotKey, options).catch((error: Error) => {
        this.firstError = error
        return undefined
      })
      if (!this.connecting) throw new Error('Connection is closed.')
      if (master === undefined) {
        // ioredis tries again after a connection that was closed, and never after a connector that rejects.
        this.stream = new Socket().destroy()
        return this.stream
      }
      const { host, port } = master
      const tls = options.tls
      const stream: Stream = tls === undefined ? connectPlain({ host, port }) : connectTls({ ...tls, host, port })
      stream.once('error', (error: Error) => {
        this.firstError = error
      })
      this.stream = stream
      return stream
    }
  }
}

async function findMaster(nodes: readonly Address[], slotKey: string, options: RedisOptions): Promise<Address> {
  let problem: unknown = new Error('no node of the Redis Cluster is given')
  for (const node of nodes) {
    try {
      return await askMaster(node, slotKey, options)
    } catch (error) {
      problem = error
    }
  }
  throw problem
}

async function askMaster(node: Address, slotKey: string, options: RedisOptions): Promise<Address> {
  const redis = new Redis({ ...options, ...node, retryStrategy: () => null })
  // Its failures also reject what waits for it.
  redis.on('error', () => {})
  try {
    await redis.connect()
    const slot = Number(await redis.cluster('KEYSLOT', slotKey))
    for (const entry of (await redis.cluster('SLOTS')) as unknown[]) {
      const [first, last, master] = entry as [number, number, [string | null, number]]
      if (slot < Number(first) || slot > Number(last)) continue
      // An empty host means the address that was asked.
      return { host: master[0] || node.host, port: Number(master[1]) }
    }
    throw new Error(`no node of the Redis Cluster at ${node.host}:${node.port} has slot ${slot}`)
  } finally {
    redis.disconnect()
  }
}
