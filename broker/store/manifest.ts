// Reads LevelDB's manifest (db/version_edit.cc there): which of the files in the folder are the database.
import { ByteReader, DamagedRecord } from './bytes.ts'
import { readLogFile } from './log-file.ts'

export interface Manifest {
  /** Number of each table in use, and its length in bytes. */
  readonly tables: ReadonlyMap<number, number>
  /** Logs below this number are in tables already. */
  readonly firstLog: number
  /** LevelDB's last sequence number when it was written. */
  readonly lastOrder: number
}

/** What each field of an edit begins with. */
const tags = {
  comparator: 1,
  logNumber: 2,
  nextFile: 3,
  lastOrder: 4,
  compactPointer: 5,
  deletedTable: 6,
  newTable: 7,
  previousLog: 9,
}

/** Throws DamagedRecord. */
export function readManifest(file: Buffer): Manifest {
  const { records, damagedAt, isTorn } = readLogFile(file)
  if (damagedAt !== undefined) throw new DamagedRecord(`it is damaged at byte ${damagedAt}`)
  if (isTorn) throw new DamagedRecord('it ends too early')
  const edits = new Edits()
  for (const { content } of records) edits.take(content)
  return edits.finish()
}

class Edits {
  readonly #tables = new Map<number, number>()
  #firstLog: number | undefined
  #lastOrder = 0

  take(content: Buffer): void {
    const reader = new ByteReader(content, 0)
    while (reader.left > 0) this.#field(reader.varint(), reader)
  }

  finish(): Manifest {
    if (this.#firstLog === undefined) throw new DamagedRecord('it does not say which log is in use')
    return { tables: this.#tables, firstLog: this.#firstLog, lastOrder: this.#lastOrder }
  }

  #field(tag: number, reader: ByteReader): void {
    if (tag === tags.comparator) skipBytes(reader)
    else if (tag === tags.logNumber) this.#firstLog = reader.varint()
    else if (tag === tags.nextFile || tag === tags.previousLog) reader.varint()
    else if (tag === tags.lastOrder) this.#lastOrder = reader.varint()
    else if (tag === tags.compactPointer) {
      reader.varint()
      skipBytes(reader)
    } else if (tag === tags.deletedTable) {
      reader.varint()
      this.#tables.delete(reader.varint())
    } else if (tag === tags.newTable) {
      reader.varint()
      const number = reader.varint()
      this.#tables.set(number, reader.varint())
      skipBytes(reader)
      skipBytes(reader)
    } else throw new DamagedRecord(`it has a field of the unknown kind ${tag}`)
  }
}

function skipBytes(reader: ByteReader): void {
  reader.raw(reader.varint())
}
