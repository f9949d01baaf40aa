// What plugins ask of the broker, also while it does not run yet: what they publish during set-up waits for it.
import type { Engine, LiveClient } from './engine/engine.ts'
import type { Message } from './message.ts'
import type { ClientInfo, PluginBroker, RightsChange } from './plugin.ts'
import { isValidTopicName } from './protocol/topics.ts'

/** Nobody is connected yet. */
const nothing: RightsChange = Object.freeze({ clients: 0, asked: 0, ended: 0, disconnected: 0 })

type Outgoing = Parameters<PluginBroker['publish']>[0]

/** What plugins may ask, and what is asked about them. */
export interface PluginPort
  extends Pick<PluginBroker, 'publish' | 'clients' | 'disconnect' | 'rightsChanged' | 'changeIdentity' | 'announce'> {
  liveClients(): Iterable<LiveClient>
  /** The broker runs. */
  open(engine: Engine): void
  readonly announcements: readonly string[]
  readonly logins: readonly { readonly username: string; readonly password: string }[]
}

export function createPluginPort(): PluginPort {
  const announcements: string[] = []
  const logins: { readonly username: string; readonly password: string }[] = []
  let engine: Engine | undefined
  let opened: (engine: Engine) => void
  const running = new Promise<Engine>((resolve) => {
    opened = resolve
  })
  return {
    announcements,
    logins,
    announce(line, login) {
      announcements.push(line)
      if (login !== undefined) logins.push(login)
    },
    open(ready) {
      engine = ready
      opened(ready)
    },
    async publish(outgoing) {
      const { topic } = outgoing
      if (!isValidTopicName(topic)) throw new Error(`"${topic.slice(0, 100)}" is no topic to publish to`)
      const ready = engine ?? (await running)
      await new Promise<void>((resolve, reject) => {
        ready.publishMessage(toMessage(outgoing), (error) => (error === undefined ? resolve() : reject(error)))
      })
    },
    clients: (): Iterable<ClientInfo> => engine?.clientInfos() ?? [],
    disconnect: (clientId, phrase) => engine?.disconnect(clientId, phrase) ?? false,
    liveClients: () => engine?.liveClients() ?? [],
    rightsChanged: async (affects) => engine?.rightsChanged(affects) ?? nothing,
    changeIdentity: (clientId, identity) => engine?.changeIdentity(clientId, identity) ?? false,
  }
}

function toMessage({ topic, payload, qos, retain, userProperties }: Outgoing): Message {
  return {
    topic,
    payload: Buffer.from(payload as string),
    qos: qos ?? 0,
    retain: retain ?? false,
    properties: userProperties === undefined ? undefined : { userProperties },
    clientId: '',
    username: '',
    publishedAt: Date.now(),
    expiresAt: undefined,
  }
}
