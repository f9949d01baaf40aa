// A shared subscription: each message goes to one member of the group (MQTT 5.0, 4.8.2).
import type { Member } from './router.ts'

export class ShareGroup<M extends Member> {
  readonly name: string
  readonly filter: string
  readonly online: M[] = []
  readonly offline = new Set<M>()
  #turn = 0

  constructor(name: string, filter: string) {
    this.name = name
    this.filter = filter
  }

  get size(): number {
    return this.online.length + this.offline.size
  }

  /**
   * The member that gets the next message: those who are connected take turns; when nobody is, one for whom messages
   * are kept. `except` has just failed to take it.
   */
  pick(except?: M): M | undefined {
    for (let tries = 0; tries < this.online.length; tries += 1) {
      this.#turn = (this.#turn + 1) % this.online.length
      const member = this.online[this.#turn]!
      if (member !== except) return member
    }
    for (const member of this.offline) {
      if (!member.queueing || member === except) continue
      // To the end of the line, so that the offline members take turns too.
      this.offline.delete(member)
      this.offline.add(member)
      return member
    }
    return undefined
  }
}
