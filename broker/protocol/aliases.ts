// Topic aliases of one connection, in both directions (MQTT 5.0, 3.3.2.3.4).
import { ProtocolViolation } from './packets.ts'
import { reason } from './reason-codes.ts'

export interface OutgoingAlias {
  readonly alias: number
  /** The client has heard the topic of this alias: it may be left out. */
  readonly known: boolean
}

export class TopicAliases {
  #incoming: Map<number, string> | undefined
  #outgoing: Map<string, number> | undefined
  /** The client's Topic Alias Maximum; 0: it takes none. */
  outgoingMax = 0

  /** The topic that a PUBLISH means. `max` is what we told the client. Throws ProtocolViolation. */
  incoming(topic: string, alias: number | undefined, max: number): string {
    if (alias === undefined) return topic
    if (alias === 0 || alias > max) throw new ProtocolViolation(reason.topicAliasInvalid, 'topic alias out of range')
    if (topic !== '') {
      this.#incoming ??= new Map()
      this.#incoming.set(alias, topic)
      return topic
    }
    const known = this.#incoming?.get(alias)
    if (known === undefined) throw new ProtocolViolation(reason.protocolError, 'topic alias without a topic')
    return known
  }

  /** The first topics of a connection get the aliases; there is no need to change them later. */
  outgoing(topic: string): OutgoingAlias | undefined {
    if (this.outgoingMax === 0) return undefined
    this.#outgoing ??= new Map()
    const known = this.#outgoing.get(topic)
    if (known !== undefined) return { alias: known, known: true }
    if (this.#outgoing.size >= this.outgoingMax) return undefined
    const alias = this.#outgoing.size + 1
    this.#outgoing.set(topic, alias)
    return { alias, known: false }
  }

  /** The packet that would have taught the alias was not sent. It was the last one given. */
  forget(topic: string): void {
    this.#outgoing?.delete(topic)
  }
}
