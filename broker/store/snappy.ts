// Decompresses a block in the raw Snappy format: LevelDB compresses with it, and an index has to be read to be checked.
import { DamagedRecord } from './bytes.ts'

/** More than any block is: a damaged length must not ask for the memory of the machine. */
const outputMaxBytes = 64 * 1_048_576

/** A copy of up to 64 bytes takes 3. */
const ratioMax = 22

/** Throws DamagedRecord for input that no compressor made. */
export function decompress(input: Buffer): Buffer {
  const output = Buffer.allocUnsafe(outputLength(input))
  fill(output, input, () => {})
  return output
}

/** What comes out before the damage. The length that it claims may be the damage. */
export function decompressDamaged(input: Buffer): Buffer {
  const output = Buffer.alloc(Math.min(outputMaxBytes, input.length * ratioMax))
  let filled = 0
  try {
    fill(output, input, (to) => {
      filled = to
    })
  } catch (error) {
    if (!(error instanceof DamagedRecord)) throw error
  }
  return output.subarray(0, filled)
}

function outputLength(input: Buffer): number {
  const { value } = lengthAt(input)
  if (value > outputMaxBytes) throw new DamagedRecord('a compressed block is too long')
  return value
}

function fill(output: Buffer, input: Buffer, progress: (to: number) => void): void {
  const length = output.length
  let from = lengthAt(input).next
  let to = 0
  while (from < input.length) {
    progress(to)
    const tag = input[from]!
    from += 1
    const kind = tag & 3
    if (kind === 0) {
      const extra = Math.max(0, (tag >> 2) - 59)
      const count = (extra === 0 ? tag >> 2 : littleEndian(input, from, extra)) + 1
      from += extra
      if (from + count > input.length || to + count > length) {
        progress(to + input.copy(output, to, from))
        throw new DamagedRecord('a literal is too long')
      }
      input.copy(output, to, from, from + count)
      from += count
      to += count
      continue
    }
    const count = kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1
    const bytes = kind === 1 ? 1 : kind === 2 ? 2 : 4
    const offset = littleEndian(input, from, bytes) + (kind === 1 ? (tag >> 5) * 256 : 0)
    from += bytes
    if (offset === 0 || offset > to || to + count > length) throw new DamagedRecord('a copy reaches too far')
    // Byte by byte: a copy may overlap what it makes.
    for (const end = to + count; to < end; to += 1) output[to] = output[to - offset]!
  }
  // Also of an input that is cut right behind one of its elements.
  progress(to)
  if (to !== length) throw new DamagedRecord('a compressed block ends too early')
}

function littleEndian(input: Buffer, at: number, bytes: number): number {
  if (at + bytes > input.length) throw new DamagedRecord('a compressed block ends too early')
  return input.readUIntLE(at, bytes)
}

function lengthAt(input: Buffer): { value: number; next: number } {
  let value = 0
  for (let next = 0; next < Math.min(5, input.length); next += 1) {
    const byte = input[next]!
    value += (byte & 127) * 128 ** next
    if (byte < 128) return { value, next: next + 1 }
  }
  throw new DamagedRecord('a compressed block has no length')
}
