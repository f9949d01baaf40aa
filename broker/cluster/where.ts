// Where the other nodes are in their logs: when all have said so, this node has everything from them up to there.
import { errorText } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import { committed, type Store } from '../store/store.ts'
import type { Meeting, Member } from './meeting.ts'
import type { RedisRouting } from './redis-routing.ts'

const question = 'where'
const kind = 'where'
const answerMs = 2_000
/** What lies before the answer in the stream must be taken first. */
const comesMs = 10_000
const drainMs = 5_000

export interface Places {
  /** By store id; this node's own is among them. */
  readonly sequences: ReadonlyMap<number, number>
  /** Nodes that did not say: they are away, or too slow. */
  readonly missing: readonly string[]
}

interface Answer {
  readonly sequence: number
  /** Messages are on their way, and this number comes behind them. */
  readonly comes: boolean
}

export interface WhereParts {
  readonly meeting: Meeting
  readonly routing: RedisRouting
  readonly store: Store
  readonly log: PluginLog
}

export class Where {
  readonly #parts: WhereParts
  /** Answers that come by the stream, by node and number of the question. */
  readonly #awaited = new Map<string, () => void>()
  #number = 0
  #current: Promise<Places> | undefined
  #next: Promise<Places> | undefined

  constructor(parts: WhereParts) {
    this.#parts = parts
    const { meeting, routing } = parts
    meeting.bus.answer(question, (from, number) => this.#answer(from, Number(number)))
    routing.onItem(kind, (from, body) => this.#awaited.get(`${from.run} ${body}`)?.())
  }

  /** Asked after this call. Many that ask at the same time share one round. */
  ask(): Promise<Places> {
    if (this.#current === undefined) {
      const round = this.#round().finally(() => {
        this.#current = undefined
      })
      this.#current = round
      return round
    }
    this.#next ??= this.#current.then(() => {
      this.#next = undefined
      return this.ask()
    })
    return this.#next
  }

  /**
   * The same for one who needs to have everything: undefined when it cannot be known now. Of nodes that are away what they
   * sent before they went is taken from the stream.
   */
  async askAll(): Promise<Places | undefined> {
    const { meeting, routing } = this.#parts
    const places = await this.ask()
    const live = new Set(meeting.live().map(({ node }) => node))
    if (places.missing.some((node) => live.has(node))) return undefined
    return places.missing.length === 0 || (await routing.drained(drainMs)) ? places : undefined
  }

  async #round(): Promise<Places> {
    const { meeting, store } = this.#parts
    const sequences = new Map([[meeting.self.storeId, store.lastSequence]])
    const missing: string[] = []
    const live = new Map(meeting.live().map((member) => [member.node, member]))
    const ask = async (node: string): Promise<void> => {
      const member = live.get(node)
      const sequence = member && (await this.#askOne(member))
      if (member === undefined || sequence === undefined) missing.push(node)
      else sequences.set(member.storeId, sequence)
    }
    await Promise.all(meeting.known().map(({ node }) => ask(node)))
    return { sequences, missing }
  }

  async #askOne(member: Member): Promise<number | undefined> {
    this.#number += 1
    const key = `${member.run} ${this.#number}`
    let timer: NodeJS.Timeout | undefined
    const came = new Promise<boolean>((resolve) => {
      this.#awaited.set(key, () => resolve(true))
      timer = setTimeout(() => resolve(false), comesMs).unref()
    })
    try {
      const answer = (await this.#parts.meeting.bus.ask(member, question, this.#number, answerMs)) as Answer
      return !answer.comes || (await came) ? answer.sequence : undefined
    } catch (error) {
      this.#parts.log.debug({ node: member.node, error: errorText(error) }, 'a node does not say where it is')
      return undefined
    } finally {
      clearTimeout(timer)
      this.#awaited.delete(key)
    }
  }

  async #answer(from: Member, number: number): Promise<Answer> {
    const { store, routing, log } = this.#parts
    const sequence = store.lastSequence
    await committed(store)
    const comes = !routing.isIdle(from.node)
    if (comes) {
      routing.send(from.node, kind, Buffer.from(String(number))).catch((error: unknown) => {
        log.debug({ node: from.node, error: errorText(error) }, 'the place of this node could not be told')
      })
    }
    return { sequence, comes }
  }
}
