// QoS 0 between nodes: what is sent in one turn of the loop to one node leaves as one body over the bus, at most once.
import type { Message } from '../message.ts'
import { ByteReader, ByteWriter } from '../store/bytes.ts'
import type { Meeting, Member } from './meeting.ts'
import { messageFromBytes, messageToBytes } from './message-bytes.ts'

/** A body is sent when it has so many bytes: other frames get between. */
const bodyBytes = 256 * 1024

export class LiveMessages {
  readonly #meeting: Meeting
  readonly #byNode = new Map<string, { parts: Buffer[]; bytes: number }>()
  #scheduled = false

  constructor(meeting: Meeting) {
    this.#meeting = meeting
  }

  send(message: Message, nodes: readonly string[]): void {
    if (!this.#meeting.isUp) return
    // Whoever gets it over the bus gets it at most once, whatever it was published with.
    const bytes = messageToBytes(message.qos === 0 ? message : { ...message, qos: 0 })
    for (const node of nodes) {
      const queue = this.#byNode.get(node) ?? { parts: [], bytes: 0 }
      this.#byNode.set(node, queue)
      queue.parts.push(bytes)
      queue.bytes += bytes.length
      if (queue.bytes >= bodyBytes) this.#flushNode(node)
    }
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      for (const node of [...this.#byNode.keys()]) this.#flushNode(node)
    })
  }

  /** The answer: how many came. `deliver` is called in their order. Throws when it is no body of ours. */
  receive(from: Member, body: Buffer, deliver: (message: Message) => void): number {
    const reader = new ByteReader(body, 0)
    let count = 0
    for (; reader.left > 0; count += 1) {
      const message = messageFromBytes(reader.raw(reader.u32()))
      deliver({ ...message, qos: 0, origin: { storeId: from.storeId, sequence: 0 } })
    }
    return count
  }

  #flushNode(node: string): void {
    const queue = this.#byNode.get(node)
    this.#byNode.delete(node)
    const member = this.#meeting.live().find((live) => live.node === node)
    if (queue === undefined || member === undefined) return
    const writer = new ByteWriter()
    writer.reset()
    for (const part of queue.parts) writer.u32(part.length).raw(part)
    this.#meeting.bus.send(member, 'messages', writer.finish(0))
  }
}
