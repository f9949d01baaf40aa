// Reads LevelDB's log format (doc/log_format.md there), in which its log and its manifest are, also where it is damaged.
import { maskedCrc } from './crc32c.ts'

const blockBytes = 32_768
/** CRC, length, kind. */
const headBytes = 7

const full = 1
const first = 2
const last = 4

export interface LogRecord {
  readonly content: Buffer
  /** False: its checksum does not match, or a part of it is missing. */
  readonly isSound: boolean
}

export interface LogContent {
  readonly records: readonly LogRecord[]
  /** Where the first bytes are that are not as they were written. */
  readonly damagedAt: number | undefined
  /** The file ends in the middle of a record: as a rule the process ended while it wrote it. */
  readonly isTorn: boolean
}

export function readLogFile(file: Buffer): LogContent {
  return new LogFileReader(file).read()
}

class LogFileReader {
  readonly #file: Buffer
  readonly #records: LogRecord[] = []
  /** The pieces of a record that is not complete. */
  #pieces: Buffer[] = []
  #piecesAreSound = true
  #damagedAt: number | undefined
  #isTorn = false

  constructor(file: Buffer) {
    this.#file = file
  }

  read(): LogContent {
    for (let at = 0; at < this.#file.length; ) at = this.#take(at)
    if (this.#pieces.length > 0) this.#isTorn = true
    this.#giveUpPieces()
    return { records: this.#records, damagedAt: this.#damagedAt, isTorn: this.#isTorn }
  }

  /** Returns where to go on. */
  #take(at: number): number {
    const file = this.#file
    const blockEnd = at - (at % blockBytes) + blockBytes
    if (blockEnd - at < headBytes) return this.#filler(at, Math.min(blockEnd, file.length))
    if (at + headBytes > file.length) return this.#tear(at)
    const length = file.readUInt16LE(at + 4)
    const kind = file[at + 6]!
    const end = at + headBytes + length
    // A file that was made longer in advance is filled with zeros.
    if (kind === 0 && length === 0) return this.#filler(at, Math.min(blockEnd, file.length))
    const isSound = end <= Math.min(blockEnd, file.length) && this.#matches(at, end)
    if (end > blockEnd || kind > last || (!isSound && end < file.length && !this.#beginsAt(end))) {
      this.#damage(at)
      this.#lose(file.subarray(at, Math.min(blockEnd, file.length)))
      return blockEnd
    }
    if (end > file.length) return this.#tear(at)
    if (!isSound) this.#damage(at)
    this.#add(kind, file.subarray(at + headBytes, end), isSound)
    return end
  }

  #matches(at: number, end: number): boolean {
    return this.#file.readUInt32LE(at) === maskedCrc(this.#file.subarray(at + 6, end))
  }

  /** Whether a damaged length is right after all: something that is whole begins behind it. */
  #beginsAt(at: number): boolean {
    const left = blockBytes - (at % blockBytes)
    if (left < headBytes || left === blockBytes || at + headBytes > this.#file.length) return true
    const end = at + headBytes + this.#file.readUInt16LE(at + 4)
    return end <= this.#file.length && this.#matches(at, end)
  }

  #add(kind: number, content: Buffer, isSound: boolean): void {
    const isBeginning = kind === full || kind === first
    if (isBeginning) this.#giveUpPieces()
    else if (this.#pieces.length === 0) this.#piecesAreSound = false
    this.#pieces.push(content)
    this.#piecesAreSound &&= isSound
    if (kind === full || kind === last) this.#finish()
  }

  #finish(): void {
    this.#records.push({ content: Buffer.concat(this.#pieces), isSound: this.#piecesAreSound })
    this.#pieces = []
    this.#piecesAreSound = true
  }

  /** The record has no end: what is there of it may still hold something. */
  #giveUpPieces(): void {
    if (this.#pieces.length > 0) {
      this.#piecesAreSound = false
      this.#finish()
    }
    this.#piecesAreSound = true
  }

  #lose(content: Buffer): void {
    this.#pieces.push(content)
    this.#piecesAreSound = false
  }

  #tear(at: number): number {
    this.#isTorn = true
    this.#lose(this.#file.subarray(Math.min(at + headBytes, this.#file.length)))
    return this.#file.length
  }

  #filler(at: number, end: number): number {
    for (let index = at; index < end; index += 1) if (this.#file[index] !== 0) this.#damage(at)
    return end
  }

  #damage(at: number): void {
    this.#damagedAt ??= at
  }
}
