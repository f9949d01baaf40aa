// Remembers in the own store who belongs to the cluster: a node that comes up with an empty Redis knows for whom to wait.
import type { Recovered, Store } from '../store/store.ts'
import { busVersion, type Meeting, type Member } from './meeting.ts'

const forgotten = 0

export class KnownNodes {
  readonly #store: Store
  readonly #prefix: string
  readonly #marks: Map<string, number>

  /** Marks are by the name of the cluster, because a data folder may come to another one. */
  constructor(cluster: string, store: Store, { marks }: Recovered) {
    this.#store = store
    this.#prefix = `member:${cluster}:`
    this.#marks = new Map([...marks].filter(([name]) => name.startsWith(this.#prefix)))
  }

  /** Those of former runs of this node. */
  all(): Member[] {
    const members: Member[] = []
    for (const [name, storeId] of this.#marks) {
      if (storeId === forgotten) continue
      const node = name.slice(this.#prefix.length)
      members.push({ node, storeId, run: '0'.repeat(16), busVersion, serverReference: undefined })
    }
    return members
  }

  follow(meeting: Meeting): void {
    meeting.on('up', () => {
      for (const { node, storeId } of meeting.known()) this.#mark(node, storeId)
    })
    meeting.onMember('joined', ({ node, storeId }) => this.#mark(node, storeId))
    meeting.onMember('forgotten', ({ node }) => this.#mark(node, forgotten))
  }

  #mark(node: string, storeId: number): void {
    const name = this.#prefix + node
    if ((this.#marks.get(name) ?? forgotten) === storeId) return
    this.#marks.set(name, storeId)
    this.#store.putMark(name, storeId)
  }
}
