// Store ids on their way between two nodes: 0 means the own store, which is another one on each side.
import type { SentRecord } from './cluster.ts'

/** As the node with this store id has them, for others. */
export function sentFrom(sent: readonly SentRecord[], own: number): SentRecord[] {
  return sent.map((record) => (record.storeId === 0 ? { ...record, storeId: own } : record))
}

/** As they came, for the node with this store id. */
export function sentHere(sent: readonly SentRecord[], own: number): SentRecord[] {
  return sent.map((record) => (record.storeId === own ? { ...record, storeId: 0 } : record))
}
