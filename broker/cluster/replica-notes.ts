// Tells shadows what their sessions have in flight with QoS 2, before it leaves: what is noted in one turn of the loop for
// one node goes as one question.
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { ClusterHouse } from './cluster.ts'
import type { Meeting, Member } from './meeting.ts'
import { sentFrom } from './replica-identity.ts'
import { type Note, note } from './replica-questions.ts'
import type { Replica } from './replicas.ts'

/** A holder that does not answer holds up no delivery for longer; then it is told everything anew. */
const answerMs = 3_000

export interface NoteParts {
  readonly meeting: Meeting
  readonly house: ClusterHouse
  readonly log: PluginLog
  /** The shadow may not know what it should. */
  isBehind(clientId: string, replica: Replica): void
}

interface Noted {
  readonly clientId: string
  readonly replica: Replica
}

export class ReplicaNotes {
  readonly #parts: NoteParts
  #pending = new Map<string, Noted>()
  #told: Promise<void> | undefined

  constructor(parts: NoteParts) {
    this.#parts = parts
  }

  /** Never rejects. */
  add(clientId: string, replica: Replica): Promise<void> {
    this.#pending.set(clientId, { clientId, replica })
    this.#told ??= new Promise((resolve) => {
      setImmediate(() => {
        const pending = [...this.#pending.values()]
        this.#pending = new Map()
        this.#told = undefined
        void this.#tellAll(pending).then(resolve)
      })
    })
    return this.#told
  }

  async #tellAll(pending: readonly Noted[]): Promise<void> {
    const live = new Map(this.#parts.meeting.live().map((member) => [member.node, member]))
    const byNode = new Map<string, Noted[]>()
    for (const noted of pending) {
      const { node } = noted.replica
      byNode.set(node, [...(byNode.get(node) ?? []), noted])
    }
    await Promise.all([...byNode].map(([node, noted]) => this.#tell(live.get(node), noted)))
  }

  async #tell(member: Member | undefined, noted: readonly Noted[]): Promise<void> {
    const { meeting, house, log, isBehind } = this.#parts
    try {
      if (member === undefined) throw new Error('the node is away')
      const own = meeting.self.storeId
      const sessions = noted.map(({ clientId, replica }) => {
        return [replica.id, sentFrom(house.sessions.sentOf(clientId), own)] as const
      })
      await meeting.bus.ask(member, note, { sessions } satisfies Note, answerMs)
    } catch (error) {
      log.debug({ error: errorText(error) }, 'a shadow could not be told what is in flight')
      for (const { clientId, replica } of noted) isBehind(clientId, replica)
    }
  }
}
