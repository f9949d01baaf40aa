// What is kept of sessions beside the log: each call becomes a record of the batch that collects now.
import type { Background } from './background.ts'
import type { GroupCommit } from './commit.ts'
import * as keys from './keys.ts'
import * as records from './records.ts'
import type { Cursor, RetainedStamp, SessionRecord, SubscriptionRecord, WillRecord } from './store.ts'

export class SessionState {
  readonly #commit: GroupCommit
  readonly #background: Background

  constructor(commit: GroupCommit, background: Background) {
    this.#commit = commit
    this.#background = background
  }

  /** Its cursor goes along: whoever said goodbye with everything acknowledged gets nothing twice, even after a crash. */
  putSession(session: SessionRecord): void {
    const key = keys.sessionKey(session.clientId)
    this.put(key, records.encodeSession(key, session))
    const cursor = this.#background.takeCursor(session.clientId)
    if (cursor !== undefined) this.#putCursorNow(session.clientId, cursor)
  }

  deleteSession(clientId: string): void {
    this.#background.forgetCursor(clientId)
    this.#commit.pending.state.push({ type: 'range', range: keys.sessionRange(clientId) })
    this.#commit.touch()
  }

  putSubscription(clientId: string, subscription: SubscriptionRecord): void {
    const key = keys.subscriptionKey(clientId, subscription.filter)
    this.put(key, records.encodeSubscription(key, subscription))
  }

  deleteSubscription(clientId: string, filter: string): void {
    this.delete(keys.subscriptionKey(clientId, filter))
  }

  putCursor(clientId: string, cursor: Cursor, when: 'soon' | 'now' = 'soon'): void {
    if (when === 'now' || cursor.inflight.some(({ qos }) => qos === 2)) {
      this.#background.forgetCursor(clientId)
      this.#putCursorNow(clientId, cursor)
      return
    }
    this.#background.putCursor(clientId, cursor)
    this.#commit.touch()
  }

  putInbound(clientId: string, packetId: number): void {
    const key = keys.inboundKey(clientId, packetId)
    this.put(key, records.encodeNumbers(key, [packetId]))
  }

  deleteInbound(clientId: string, packetId: number): void {
    this.delete(keys.inboundKey(clientId, packetId))
  }

  putMark(name: string, value: number): void {
    const key = keys.markKey(name)
    this.#commit.pending.marks.set(name, { type: 'put', key, value: records.encodeNumbers(key, [value]) })
    this.#commit.touch()
  }

  putRemoval(topic: string, { publishedAt, storeId }: RetainedStamp): void {
    const key = keys.removalKey(topic)
    this.put(key, records.encodeNumbers(key, storeId === undefined ? [publishedAt] : [publishedAt, storeId]))
  }

  deleteRemoval(topic: string): void {
    this.delete(keys.removalKey(topic))
  }

  putWill(clientId: string, will: WillRecord): void {
    const key = keys.willKey(clientId)
    this.put(key, records.encodeWill(key, will))
  }

  deleteWill(clientId: string): void {
    this.delete(keys.willKey(clientId))
  }

  put(key: Buffer, value: Buffer): void {
    this.#commit.pending.state.push({ type: 'put', key, value })
    this.#commit.touch()
  }

  delete(key: Buffer): void {
    this.#commit.pending.state.push({ type: 'del', key })
    this.#commit.touch()
  }

  #putCursorNow(clientId: string, cursor: Cursor): void {
    const key = keys.cursorKey(clientId)
    this.put(key, records.encodeCursor(key, cursor))
  }
}
