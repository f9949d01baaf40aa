// The engine contract: what the rest of the house asks of the broker.
import type { Message, QoS } from '../message.ts'
import type { ClientInfo, Identity, RightsChange } from '../plugin.ts'

/** A connected client, and what it holds. */
export interface LiveClient {
  readonly info: ClientInfo
  /** What it proved, before plugins added to it. */
  readonly proven: Identity
  /** Without `$share/NAME/`. */
  filters(): Iterable<{ readonly filter: string; readonly qos: QoS }>
}

export interface Engine {
  /** `done` is called when the message is stored as its QoS asks, or with the error. */
  publishMessage(message: Message, done?: (error?: Error) => void): void
  clientInfos(): Iterable<ClientInfo>
  /** Those who are connected, with what they hold. */
  liveClients(): Iterable<LiveClient>
  /** Ends a connection; the phrase is logged and told to an MQTT 5 client. False: no such client is connected. */
  disconnect(clientId: string, phrase: string): boolean
  rightsChanged(affects?: (client: ClientInfo) => boolean): Promise<RightsChange>
  /** False: no such client is connected, or it is another user's. */
  changeIdentity(clientId: string, identity: Identity): boolean
}
