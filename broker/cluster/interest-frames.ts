// Interest on the bus: changes under a number, the number alone as a sign of life, and what the others have taken up.
import { ByteReader, ByteWriter } from '../store/bytes.ts'

export type InterestFrame =
  | { readonly type: 'changes'; readonly number: number; readonly changes: readonly Change[] }
  /** The latest number: whoever has a lower one missed something. */
  | { readonly type: 'number'; readonly number: number }
  /** The sender has taken up everything of the receiver up to this number. */
  | { readonly type: 'taken'; readonly number: number }

export type Change = readonly [filter: string, value: string]

const types = ['changes', 'number', 'taken'] as const
const writer = new ByteWriter()

export function encodeInterestFrame(frame: InterestFrame): Buffer {
  writer.reset().u8(types.indexOf(frame.type)).f64(frame.number)
  if (frame.type === 'changes') {
    for (const [filter, value] of frame.changes) {
      const bytes = Buffer.from(value)
      writer.text(filter).u32(bytes.length).raw(bytes)
    }
  }
  return writer.finish(0)
}

/** Throws when it is none. */
export function decodeInterestFrame(body: Buffer): InterestFrame {
  const reader = new ByteReader(body, 0)
  const type = types[reader.u8()]
  const number = reader.f64()
  if (type === undefined || !Number.isSafeInteger(number)) throw new Error('no frame of interest')
  if (type !== 'changes') return { type, number }
  const changes: Change[] = []
  while (reader.left > 0) changes.push([reader.text(), reader.raw(reader.u32()).toString()])
  return { type, number, changes }
}
