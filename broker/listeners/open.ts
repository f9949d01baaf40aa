// Opens a listener of any type: one socket server, one entrance, and the stages of its type behind it.
import { createServer, type Server } from 'node:net'
import type { ListenerConfig } from '../config/schema.ts'
import { listenError } from '../listen-error.ts'
import { type EnterStage, Entrance, type ListenerDeps, type Stage } from './entrance.ts'
import type { Listener } from './listener.ts'
import { openTlsStage } from './tls.ts'
import { listenOnPath } from './unix-socket.ts'
import { openWebSocketStage } from './ws.ts'

export type { ListenerDeps } from './entrance.ts'

type ListenerType = ListenerConfig['type']
type ConfigOf<Type extends ListenerType> = Extract<ListenerConfig, { type: Type }>

interface Kind<Type extends ListenerType> {
  readonly scheme: string
  readonly openStages: (config: ConfigOf<Type>, deps: ListenerDeps) => readonly Stage[] | Promise<readonly Stage[]>
}

/** Ten thousand devices that come back at once wait here; the kernel may allow less (net.core.somaxconn). */
const backlog = 4096
const keepAliveAfterMs = 60_000

const handOver: EnterStage = (arrival, stream) => arrival.handOver(stream)
const atOnce: Stage = { enter: handOver, close: () => {} }

/** Stages in the order in which a connection passes them. */
const kinds = {
  tcp: { scheme: 'mqtt', openStages: () => [atOnce] },
  tls: { scheme: 'mqtts', openStages: async (config, deps) => [await openTlsStage(config, deps, handOver)] },
  ws: { scheme: 'ws', openStages: (config, deps) => [openWebSocketStage(config, deps)] },
  wss: {
    scheme: 'wss',
    openStages: async (config, deps) => {
      const web = openWebSocketStage(config, deps)
      return [await openTlsStage(config, deps, web.enter), web]
    },
  },
  unix: { scheme: 'unix', openStages: () => [atOnce] },
} as const satisfies { readonly [Type in ListenerType]: Kind<Type> }

/**
 * Resolves when the listener accepts. Throws ORI_PORT_TAKEN, ORI_LISTEN_FAILED, ORI_TLS_INVALID or ORI_CONFIG_INVALID,
 * each with the name of the listener and the way out; nothing stays open then.
 */
export async function openListener(config: ListenerConfig, deps: ListenerDeps): Promise<Listener> {
  const stages = await openStages(config.type, config, deps)
  const closeStages = (): void => {
    for (const stage of stages) stage.close()
  }
  try {
    const entrance = new Entrance(config, deps, stages[0]?.enter ?? handOver)
    const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveAfterMs })
    server.on('connection', (socket) => entrance.accept(socket))
    await listen(server, config, deps)
    server.on('error', (error) => entrance.acceptFailed(error))
    return {
      name: config.name,
      ...place(server, config, deps),
      close: async () => {
        // The port is free when this returns; its callback would wait for the connections that stay.
        server.close()
        entrance.close()
        closeStages()
      },
    }
  } catch (error) {
    closeStages()
    throw error
  }
}

async function openStages<Type extends ListenerType>(
  type: Type,
  config: ConfigOf<Type>,
  deps: ListenerDeps,
): Promise<readonly Stage[]> {
  const kind: Kind<Type> = (kinds as { readonly [Key in ListenerType]: Kind<Key> })[type]
  return kind.openStages(config, deps)
}

async function listen(server: Server, config: ListenerConfig, deps: ListenerDeps): Promise<void> {
  const who = `listener "${config.name}"`
  const setting = deps.setting ?? `listeners.${config.name}`
  if (config.type === 'unix') {
    await listenOnPath(server, deps.resolvePath(config.path), who, setting)
    return
  }
  const { host, port } = config
  await new Promise<void>((resolve, reject) => {
    const onError = (error: Error): void => reject(listenError(error, { who, setting, host, port }))
    server.once('error', onError)
    server.listen({ host, port, backlog }, () => {
      server.off('error', onError)
      resolve()
    })
  })
}

function place(server: Server, config: ListenerConfig, deps: ListenerDeps): { url: string; port: number } {
  const { scheme } = kinds[config.type]
  if (config.type === 'unix') return { url: `${scheme}:${deps.resolvePath(config.path)}`, port: 0 }
  const bound = server.address()
  const port = bound !== null && typeof bound === 'object' ? bound.port : config.port
  const host = config.host.includes(':') ? `[${config.host}]` : config.host
  const path = config.type === 'ws' || config.type === 'wss' ? config.path : ''
  return { url: `${scheme}://${host}:${port}${path}`, port }
}
