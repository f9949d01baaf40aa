// The bodies of frames: many small messages in one, and one large message over several. Bytes in, bytes out.
import { type FrameKind, frameKinds } from './meeting.ts'

/** kind, whole length, where this piece begins, length of this piece. */
const headBytes = 13

/** What one publish may carry; Redis and the other node hold it whole in memory. */
export const frameMaxBytes = 1024 * 1024
/** Room for the envelope and for what mqemitter puts around. */
export const frameBodyMaxBytes = frameMaxBytes - 512

/** No packet is larger (MQTT: 268,435,455 bytes), and what stands beside one is small. */
export const messageMaxBytes = 272 * 1024 * 1024

export interface Outgoing {
  readonly kind: FrameKind
  readonly body: Buffer
}

/** The bodies of as few frames as possible, in order. */
export function packFrames(messages: readonly Outgoing[]): Buffer[] {
  const frames: Buffer[] = []
  let parts: Buffer[] = []
  let bytes = 0
  const flush = (): void => {
    if (parts.length > 0) frames.push(Buffer.concat(parts, bytes))
    parts = []
    bytes = 0
  }
  for (const { kind, body } of messages) {
    // A message that would fit into a frame of its own is not cut.
    if (bytes + headBytes + body.length > frameBodyMaxBytes) flush()
    let offset = 0
    do {
      const piece = body.subarray(offset, offset + frameBodyMaxBytes - headBytes)
      parts.push(head(kind, body.length, offset, piece.length), piece)
      bytes += headBytes + piece.length
      offset += piece.length
      if (offset < body.length) flush()
    } while (offset < body.length)
  }
  flush()
  return frames
}

function head(kind: FrameKind, whole: number, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(headBytes)
  bytes.writeUInt8(frameKinds.indexOf(kind), 0)
  bytes.writeUInt32BE(whole, 1)
  bytes.writeUInt32BE(offset, 5)
  bytes.writeUInt32BE(length, 9)
  return bytes
}

/** Puts together what one sender sends over one channel. A message of which a piece is missing is dropped whole. */
export class FrameReader {
  #begun: { readonly kind: FrameKind; readonly whole: number; readonly parts: Buffer[]; has: number } | undefined

  /**
   * Calls `take` for each message that is complete, with a view into `frame` or a buffer of its own.
   * False: the frame is broken; what came before the break was taken.
   */
  read(frame: Buffer, take: (kind: FrameKind, body: Buffer) => void): boolean {
    let at = 0
    while (at < frame.length) {
      if (frame.length - at < headBytes) return false
      const kind = frameKinds[frame.readUInt8(at)]
      const whole = frame.readUInt32BE(at + 1)
      const offset = frame.readUInt32BE(at + 5)
      const length = frame.readUInt32BE(at + 9)
      at += headBytes
      if (kind === undefined || whole > messageMaxBytes || offset + length > whole || frame.length - at < length) {
        this.#begun = undefined
        return false
      }
      const body = this.#join(kind, whole, offset, frame.subarray(at, at + length))
      at += length
      if (body !== undefined) take(kind, body)
    }
    return true
  }

  /** Only one message can be open, because a sender finishes one before it begins the next. */
  #join(kind: FrameKind, whole: number, offset: number, piece: Buffer): Buffer | undefined {
    if (offset === 0 && piece.length === whole) {
      this.#begun = undefined
      return piece
    }
    if (offset === 0) {
      this.#begun = { kind, whole, parts: [Buffer.from(piece)], has: piece.length }
      return undefined
    }
    const begun = this.#begun
    if (begun === undefined || begun.kind !== kind || begun.whole !== whole || begun.has !== offset) {
      this.#begun = undefined
      return undefined
    }
    begun.parts.push(Buffer.from(piece))
    begun.has += piece.length
    if (begun.has < whole) return undefined
    this.#begun = undefined
    return Buffer.concat(begun.parts, whole)
  }
}
