// What retention rules keep of the log: the messages of each conversation, which is a topic, oldest first.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { topicMatches } from '../protocol/topics.ts'
import { Ring } from './ring.ts'
import type { HistoryRange, HistoryRule } from './store.ts'

/** Stands among the streams in the record of a message that history keeps. No filter or private stream has this name. */
export const historyMark = '\0\0'

const dayMs = 86_400_000
/** Conversations that one turn of the loop looks through. */
const turnConversations = 2_000

interface Conversation {
  readonly rule: HistoryRule
  readonly ring: Ring
}

/** 24 bytes of memory for each message, and no limit here but those of the rules and of `store.diskMaxBytes`. */
export class History {
  readonly #rules: readonly HistoryRule[]
  readonly #conversations = new Map<string, Conversation>()
  /** History needs this message no longer. */
  readonly #released: (sequence: number, bytes: number) => void
  readonly #now: () => number

  constructor(rules: readonly HistoryRule[], released: (sequence: number, bytes: number) => void, now: () => number) {
    this.#rules = rules
    this.#released = released
    this.#now = now
  }

  /** Whether the messages of this topic are kept: the first rule that matches tells how long. */
  keeps(topic: string): boolean {
    if (this.#rules.length === 0) return false
    return this.#conversations.has(topic) || this.#ruleOf(topic) !== undefined
  }

  /** Sequence numbers come in ascending order. The bounds are kept by `enforce`. False: no rule keeps it. */
  append(topic: string, sequence: number, bytes: number, publishedAt: number): boolean {
    let conversation = this.#conversations.get(topic)
    if (conversation === undefined) {
      const rule = this.#ruleOf(topic)
      if (rule === undefined) return false
      conversation = { rule, ring: new Ring() }
      this.#conversations.set(topic, conversation)
    }
    conversation.ring.push(sequence, bytes, publishedAt)
    return true
  }

  /** Lets go of what is beyond the bounds of its rule. The newest message is always within those in count and bytes. */
  enforce(topic: string): void {
    const conversation = this.#conversations.get(topic)
    if (conversation === undefined) return
    const { rule, ring } = conversation
    const oldest = rule.days === undefined ? 0 : this.#now() - rule.days * dayMs
    while (ring.length > 0 && (isOver(rule, ring) || ring.firstPublishedAt! < oldest)) {
      const { firstBytes } = ring
      this.#released(ring.shift()!, firstBytes)
    }
    if (ring.length === 0) this.#conversations.delete(topic)
  }

  /** Takes back messages at the head of the log that could not be stored. */
  retract(fromSequence: number, topics: Iterable<string>): void {
    for (const topic of topics) {
      const ring = this.#conversations.get(topic)?.ring
      while (ring?.last !== undefined && ring.last >= fromSequence) ring.pop()
      if (ring?.length === 0) this.#conversations.delete(topic)
    }
  }

  /** The oldest message of a conversation. */
  firstOf(topic: string): number | undefined {
    return this.#conversations.get(topic)?.ring.first
  }

  lastOf(topic: string): number | undefined {
    return this.#conversations.get(topic)?.ring.last
  }

  /** Whatever the rules say: there is no room for it. How many messages went. */
  forgetUpTo(topic: string, upTo: number): number {
    const ring = this.#conversations.get(topic)?.ring
    let count = 0
    for (; ring?.first !== undefined && ring.first <= upTo; count += 1) {
      const { firstBytes } = ring
      this.#released(ring.shift()!, firstBytes)
    }
    if (ring?.length === 0) this.#conversations.delete(topic)
    return count
  }

  topics(): Iterable<string> {
    return this.#conversations.keys()
  }

  /** The messages of one topic, or of all topics that match a filter. */
  async select(filter: string, range: HistoryRange): Promise<Selection> {
    const selection = new Selection(range)
    if (!filter.includes('+') && !filter.includes('#')) {
      const conversation = this.#conversations.get(filter)
      if (conversation !== undefined) selection.add(conversation.ring)
      return selection
    }
    let turn = 0
    for (const [topic, { ring }] of this.#conversations) {
      if (topicMatches(filter, topic)) selection.add(ring)
      turn += 1
      if (turn % turnConversations === 0) await nextTurn()
    }
    return selection
  }

  #ruleOf(topic: string): HistoryRule | undefined {
    return this.#rules.find(({ filter }) => topicMatches(filter, topic))
  }
}

function isOver({ messages, bytes }: HistoryRule, ring: Ring): boolean {
  if (ring.length <= 1) return false
  return (messages !== undefined && ring.length > messages) || (bytes !== undefined && ring.bytes > bytes)
}

/** Of any number of conversations the sequence numbers that are nearest to where the range begins, at most `limit`. */
class Selection {
  readonly sequences: number[] = []
  /** Nothing further is in the range. */
  end = true
  readonly #after: number
  readonly #before: number
  readonly #limit: number
  readonly #oldestFirst: boolean

  constructor({ after, before, limit }: HistoryRange) {
    this.#after = after ?? 0
    this.#before = before ?? Number.POSITIVE_INFINITY
    this.#limit = limit
    this.#oldestFirst = after !== undefined
  }

  add(ring: Ring): void {
    if (this.#oldestFirst) {
      let index = ring.indexAfter(this.#after)
      while (this.#take(ring.at(index))) index += 1
      return
    }
    const first = ring.indexAfter(0)
    let index = ring.indexAfter(this.#before - 1) - 1
    while (index >= first && this.#take(ring.at(index))) index -= 1
  }

  /** False: those of this conversation that follow are not wanted either. */
  #take(sequence: number | undefined): boolean {
    if (sequence === undefined || sequence <= this.#after || sequence >= this.#before) return false
    const { sequences } = this
    const isFull = sequences.length === this.#limit
    if (isFull) {
      this.end = false
      const farthest = this.#oldestFirst ? sequences[sequences.length - 1]! : sequences[0]!
      if (this.#oldestFirst ? sequence > farthest : sequence < farthest) return false
      if (this.#oldestFirst) sequences.pop()
      else sequences.shift()
    }
    let place = sequences.length
    while (place > 0 && sequences[place - 1]! > sequence) place -= 1
    sequences.splice(place, 0, sequence)
    return true
  }
}
