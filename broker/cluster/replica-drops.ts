// Tells other nodes which shadows are not needed any more, until they have heard it.
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { Meeting, Member } from './meeting.ts'
import { type Drop, drop } from './replica-questions.ts'

const retryMs = 1_000
const answerMs = 5_000
/** For each node; what is above is found by the node itself (shadow-keeper.ts). */
const waitingMax = 100_000
const pageShadows = 500

interface Pending {
  readonly ids: Set<string>
  /** By client id, the epoch of a shadow that is complete elsewhere. */
  readonly before: Map<string, number>
  isTelling: boolean
}

export interface DropParts {
  readonly meeting: Meeting
  readonly log: PluginLog
}

export class ReplicaDrops {
  readonly #parts: DropParts
  readonly #pending = new Map<string, Pending>()
  readonly #timer: NodeJS.Timeout
  #isScheduled = false

  constructor(parts: DropParts) {
    this.#parts = parts
    parts.meeting.onMember('forgotten', ({ node }) => this.#pending.delete(node))
    this.#timer = setInterval(() => this.#flush(), retryMs).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  add(node: string, id: string): void {
    const { ids } = this.#of(node)
    if (ids.size < waitingMax) ids.add(id)
    this.#schedule()
  }

  /** This shadow is complete: what other nodes than its own have from earlier claims is of no use. */
  addBefore(clientId: string, epoch: number, node?: string): void {
    for (const member of this.#parts.meeting.live()) {
      if (member.node === node) continue
      const { before } = this.#of(member.node)
      if (before.size < waitingMax) before.set(clientId, epoch)
    }
    this.#schedule()
  }

  #of(node: string): Pending {
    const known = this.#pending.get(node)
    if (known !== undefined) return known
    const pending = { ids: new Set<string>(), before: new Map<string, number>(), isTelling: false }
    this.#pending.set(node, pending)
    return pending
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    const { meeting } = this.#parts
    if (!meeting.isUp) return
    const live = new Map(meeting.live().map((member) => [member.node, member]))
    for (const [node, pending] of this.#pending) {
      const member = live.get(node)
      if (member !== undefined && !pending.isTelling && pending.ids.size + pending.before.size > 0) {
        void this.#tell(member, pending)
      }
    }
  }

  async #tell(member: Member, pending: Pending): Promise<void> {
    pending.isTelling = true
    const ids = [...pending.ids].slice(0, pageShadows)
    const before = [...pending.before].slice(0, pageShadows)
    try {
      await this.#parts.meeting.bus.ask(member, drop, { ids, before } satisfies Drop, answerMs)
      for (const id of ids) pending.ids.delete(id)
      for (const [clientId, epoch] of before) {
        if (pending.before.get(clientId) === epoch) pending.before.delete(clientId)
      }
      if (pending.ids.size + pending.before.size > 0) this.#schedule()
    } catch (error) {
      this.#parts.log.debug({ node: member.node, error: errorText(error) }, 'shadows could not be dropped')
    }
    pending.isTelling = false
  }
}
