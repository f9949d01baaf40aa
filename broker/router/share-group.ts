// A shared subscription: each message goes to one member of the group (MQTT 5.0, 4.8.2).
import type { Member } from './router.ts'

/** Which of the connected members gets the next message. */
export const shareStrategies = ['round-robin', 'sticky', 'hash-client', 'hash-topic', 'fewest-in-flight'] as const
export type ShareStrategy = (typeof shareStrategies)[number]

/** What a strategy may look at. */
export interface SharedMessage {
  readonly topic: string
  /** Of the publisher. */
  readonly clientId: string
}

export class ShareGroup<M extends Member> {
  readonly name: string
  readonly filter: string
  readonly online: M[] = []
  readonly offline = new Set<M>()
  /** Among those who are away: for whom messages are kept. */
  queueingAway = 0
  readonly #strategy: ShareStrategy
  #turn = 0
  #sticky: M | undefined

  constructor(name: string, filter: string, strategy: ShareStrategy) {
    this.name = name
    this.filter = filter
    this.#strategy = strategy
  }

  enterAway(member: M): void {
    if (this.offline.has(member)) return
    this.offline.add(member)
    if (member.queueing) this.queueingAway += 1
  }

  leaveAway(member: M): void {
    if (this.offline.delete(member) && member.queueing) this.queueingAway -= 1
  }

  get size(): number {
    return this.online.length + this.offline.size
  }

  /**
   * The member that gets the message: one that is connected, by the strategy; when nobody is, one for whom messages
   * are kept. `except` has just failed to take it.
   */
  pick(message: SharedMessage, except?: M): M | undefined {
    const chosen = this.online.length === 0 ? undefined : this.online[this.#index(message)]
    const takes = (member: M): boolean => member !== except && member.withhold?.(message.topic) !== true
    if (chosen !== undefined && takes(chosen)) return chosen
    return this.online.find(takes) ?? this.#pickOffline(takes)
  }

  /** Among the connected members, of whom there is at least one. */
  #index({ topic, clientId }: SharedMessage): number {
    const count = this.online.length
    switch (this.#strategy) {
      case 'round-robin':
        this.#turn = (this.#turn + 1) % count
        return this.#turn
      case 'sticky':
        if (this.#sticky === undefined || this.online[this.#sticky.slot] !== this.#sticky) this.#sticky = this.online[0]
        return this.#sticky?.slot ?? 0
      case 'hash-client':
        return hash(clientId) % count
      case 'hash-topic':
        return hash(topic) % count
      case 'fewest-in-flight':
        return this.online.reduce((best, member, index) => (member.load < this.online[best]!.load ? index : best), 0)
    }
  }

  /** Those who are away take turns. One that is barred keeps the message until there is another, or its right is back. */
  #pickOffline(takes: (member: M) => boolean): M | undefined {
    let last: M | undefined
    for (const member of this.offline) {
      if (!member.queueing || !takes(member)) continue
      if (member.barred === true) {
        last ??= member
        continue
      }
      this.offline.delete(member)
      this.offline.add(member)
      return member
    }
    return last
  }
}

/** FNV-1a over the UTF-16 units: the same text always finds the same member while the group stays as it is. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let index = 0; index < text.length; index += 1) value = Math.imul(value ^ text.charCodeAt(index), 0x01000193)
  return value >>> 0
}
