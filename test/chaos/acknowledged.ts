// From a trace of the broker: which messages it acknowledged, and when the disk had each of them.
import { type Packet, parser } from 'mqtt-packet'
import { tableEntries } from '../../broker/store/table-entries.ts'
import type { DiskModel, Inode } from './disk-model.ts'
import { type Call, descriptorOf, type Step, stringsOf } from './strace.ts'

/** In each payload, so that it can be found in whatever holds it. */
export function markOf(publisher: string, number: number): string {
  return `<${publisher}:${number}>`
}

const mark = /<\w+:\d+>/g

export interface Acknowledgement {
  readonly mark: string
  readonly kind: 'PUBACK' | 'PUBREC'
  /** The number of the step at which it began to leave. */
  readonly at: number
}

interface Connection {
  readonly received: ReturnType<typeof parser>
  readonly sent: ReturnType<typeof parser>
  /** When the write began that is being looked at. */
  sendingAt: number
}

/** Follows the sockets of one process after the other. */
export class Acknowledgements {
  readonly all: Acknowledgement[] = []
  readonly #connections = new Map<number, Connection>()
  readonly #begun = new Map<Call, number>()
  #step = 0

  restart(): void {
    this.#connections.clear()
  }

  take({ call, isEnd }: Step): void {
    this.#step += 1
    const descriptor = descriptorOf(call)
    if (call.name === 'accept4') {
      if (isEnd && call.result! >= 0) this.#connections.set(call.result!, this.#connection())
      return
    }
    const connection = this.#connections.get(descriptor)
    if (connection === undefined) return
    if (!isEnd) {
      if (call.name === 'close') this.#connections.delete(descriptor)
      else this.#begun.set(call, this.#step)
      return
    }
    connection.sendingAt = this.#begun.get(call) ?? this.#step
    this.#begun.delete(call)
    if (call.result === undefined || call.result <= 0) return
    const data = () => Buffer.concat(stringsOf(call)).subarray(0, call.result)
    if (call.name === 'read') connection.received.parse(data())
    else if (call.name === 'write' || call.name === 'writev') connection.sent.parse(data())
  }

  #connection(): Connection {
    const waiting = new Map<number, string>()
    const connection: Connection = {
      received: parser({ protocolVersion: 4 }),
      sent: parser({ protocolVersion: 4 }),
      sendingAt: 0,
    }
    connection.received.on('packet', (packet: Packet) => {
      if (packet.cmd !== 'publish' || packet.qos === 0) return
      const [found] = packet.payload.toString('latin1').match(mark) ?? []
      if (found !== undefined) waiting.set(packet.messageId!, found)
      else waiting.delete(packet.messageId!)
    })
    connection.sent.on('packet', (packet: Packet) => {
      if (packet.cmd !== 'puback' && packet.cmd !== 'pubrec') return
      const found = waiting.get(packet.messageId!)
      if (found === undefined) return
      const kind = packet.cmd === 'puback' ? 'PUBACK' : 'PUBREC'
      this.all.push({ mark: found, kind, at: connection.sendingAt })
    })
    return connection
  }
}

/**
 * For each mark: the number of the first step at which it was safe. In a log that is when a whole record with it was
 * synced. In a table it is when after the table a manifest was synced: so are the messages of a log that was not synced
 * when a process was killed, and that the next one read and answered for.
 */
export function safeAt(model: DiskModel): Map<string, number> {
  const earliest = new Map<string, number>()
  const note = (text: Buffer, at: number): void => {
    for (const [found] of text.toString('latin1').matchAll(mark)) {
      if (at < (earliest.get(found) ?? Number.POSITIVE_INFINITY)) earliest.set(found, at)
    }
  }
  const manifestSyncs = model.inodes.filter(({ name }) => name.startsWith('MANIFEST-')).flatMap(({ syncs }) => syncs)
  for (const inode of model.inodes) {
    if (inode.name.endsWith('.log')) {
      for (const { end, content } of recordsOf(inode)) {
        const sync = inode.syncs.find(({ bytes }) => bytes >= end)
        if (sync !== undefined) note(content, sync.at)
      }
    } else if (inode.name.endsWith('.ldb') && inode.syncedBytes === inode.length) {
      const table = inode.syncs.at(-1)!
      const following = manifestSyncs.filter(({ at }) => at > table.at).map(({ at }) => at)
      for (const { value } of following.length === 0 ? [] : tableEntries(inode.content(), Number.POSITIVE_INFINITY)) {
        if (value !== undefined) note(value, Math.min(...following))
      }
    }
  }
  return earliest
}

const blockBytes = 32_768
const headBytes = 7
const full = 1
const last = 4

/** The records of a log, each with the place behind its last byte (doc/log_format.md of LevelDB). */
function* recordsOf(inode: Inode): Generator<{ readonly end: number; readonly content: Buffer }> {
  const file = inode.content()
  let pieces: Buffer[] = []
  for (let at = 0; at + headBytes <= file.length; ) {
    const left = blockBytes - (at % blockBytes)
    if (left < headBytes) {
      at += left
      continue
    }
    const end = at + headBytes + file.readUInt16LE(at + 4)
    const kind = file[at + 6]!
    pieces.push(file.subarray(at + headBytes, end))
    if ((kind === full || kind === last) && end <= file.length) {
      yield { end, content: Buffer.concat(pieces) }
      pieces = []
    }
    at = end
  }
}
