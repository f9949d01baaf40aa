// The packets of the broker as bytes, for statements about single bits and lengths.
import type { RawClient } from '../helpers/raw-client.ts'

/** Every whole packet that comes from now on, as it is on the wire, in the array that is returned. */
export function tap(client: RawClient): Buffer[] {
  const packets: Buffer[] = []
  let rest: Buffer = Buffer.alloc(0)
  client.socket.prependListener('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    for (let length = packetBytes(rest); length <= rest.length; length = packetBytes(rest)) {
      packets.push(rest.subarray(0, length))
      rest = rest.subarray(length)
    }
  })
  return packets
}

/** Where the variable header begins. */
export function bodyAt(packet: Buffer): number {
  return remainingLength(packet).end
}

/** The first packet in the array of this type, the upper half of its first byte. */
export function ofType(packets: readonly Buffer[], type: number): Buffer {
  const found = packets.find((packet) => packet[0]! >> 4 === type)
  if (found === undefined) throw new Error(`no packet of type ${type} came`)
  return found
}

/** Infinity: its length is not known yet. */
function packetBytes(bytes: Buffer): number {
  const { value, end } = remainingLength(bytes)
  return end === 0 ? Number.POSITIVE_INFINITY : end + value
}

function remainingLength(bytes: Buffer): { readonly value: number; readonly end: number } {
  let value = 0
  for (let index = 1; index < Math.min(5, bytes.length); index += 1) {
    value += (bytes[index]! & 0x7f) * 128 ** (index - 1)
    if (bytes[index]! < 0x80) return { value, end: index + 1 }
  }
  return { value: 0, end: 0 }
}
