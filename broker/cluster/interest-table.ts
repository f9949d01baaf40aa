// Which nodes want which topics: one tree of filters for all nodes, so that a match costs the same however many there are.
import { FilterTree } from '../router/filter-tree.ts'
import { nodeStream, type RemoteRoute, type SharedGroupName } from './cluster.ts'
import { type Interest, parseInterest } from './interest-value.ts'

/** One filter, and the nodes that hold it. */
interface Remote {
  readonly filter: string
  readonly byNode: Map<string, Interest>
  /** Who was picked last, for each group. */
  turns: Map<string, number> | undefined
}

/** What other nodes want of one topic. */
export interface Match {
  readonly qos0: RemoteRoute | undefined
  /** QoS 1 and 2. */
  readonly acknowledged: RemoteRoute | undefined
  readonly groups: readonly SharedGroupName[]
}

/** Distinct topics whose answer is remembered; over it the memory starts anew. */
const cacheTopics = 10_000
const nobody: Match = { qos0: undefined, acknowledged: undefined, groups: [] }

export class InterestTable {
  readonly #exact = new Map<string, Remote>()
  readonly #wild = new FilterTree<Remote>()
  /** What each node told, to see what is gone when it tells everything anew. */
  readonly #told = new Map<string, Map<string, string>>()
  #cache = new Map<string, Match>()

  /** How many filters of other nodes there are. */
  get size(): number {
    return this.#exact.size + this.#wild.size
  }

  /** What this node told. What changes meanwhile may or may not be among it. */
  entriesOf(node: string): IterableIterator<readonly [filter: string, value: string]> {
    return (this.#told.get(node) ?? new Map<string, string>()).entries()
  }

  /** False: no value of ours; nothing changed. */
  set(node: string, filter: string, value: string): boolean {
    const interest = parseInterest(value)
    if (interest === undefined || filter.length === 0) return false
    const told = this.#told.get(node) ?? new Map<string, string>()
    this.#told.set(node, told)
    if ((told.get(filter) ?? '') === value) return true
    const isWild = filter.includes('+') || filter.includes('#')
    let remote = isWild ? this.#wild.get(filter) : this.#exact.get(filter)
    if (value === '') {
      told.delete(filter)
      remote?.byNode.delete(node)
      if (remote?.byNode.size === 0) {
        if (isWild) this.#wild.delete(filter)
        else this.#exact.delete(filter)
      }
    } else {
      told.set(filter, value)
      if (remote === undefined) {
        const made = { filter, byNode: new Map(), turns: undefined }
        if (isWild) this.#wild.obtain(filter, () => made)
        else this.#exact.set(filter, made)
        remote = made
      }
      remote.byNode.set(node, interest)
    }
    if (!isWild) this.#cache.delete(filter)
    else if (this.#cache.size > 0) this.#cache = new Map()
    return true
  }

  forget(node: string): void {
    for (const [filter] of [...this.entriesOf(node)]) this.set(node, filter, '')
    this.#told.delete(node)
  }

  match(topic: string): Match {
    if (this.size === 0) return nobody
    const known = this.#cache.get(topic)
    if (known !== undefined) return known
    const found = this.#wild.size === 0 ? [] : this.#wild.match(topic)
    const exact = this.#exact.get(topic)
    if (exact !== undefined) found.push(exact)
    const match = found.length === 0 ? nobody : matchOf(found)
    if (this.#cache.size >= cacheTopics) this.#cache = new Map()
    this.#cache.set(topic, match)
    return match
  }

  /** Connected members take turns by node; only where there are none, members who are away. */
  pickShared(
    share: string,
    filter: string,
    isLive: (node: string) => boolean,
  ): { readonly node: string; readonly online: boolean } | undefined {
    const isWild = filter.includes('+') || filter.includes('#')
    const remote = isWild ? this.#wild.get(filter) : this.#exact.get(filter)
    if (remote === undefined) return undefined
    const online: string[] = []
    const away: string[] = []
    for (const [node, { groups }] of remote.byNode) {
      const group = groups.find((other) => other.share === share)
      if (group?.online === true && isLive(node)) online.push(node)
      else if (group?.queueing === true) away.push(node)
    }
    const nodes = online.length > 0 ? online : away
    if (nodes.length === 0) return undefined
    remote.turns ??= new Map()
    const turn = ((remote.turns.get(share) ?? -1) + 1) % nodes.length
    remote.turns.set(share, turn)
    return { node: nodes[turn]!, online: online.length > 0 }
  }
}

/** The route that takes a message to these nodes by the log, and to those by QoS 0. */
export function routeTo(stored: readonly string[], live: readonly string[]): RemoteRoute | undefined {
  if (stored.length === 0 && live.length === 0) return undefined
  return { stored, streams: stored.map(nodeStream), live }
}

function matchOf(found: readonly Remote[]): Match {
  const qosByNode = new Map<string, 0 | 1>()
  const groups: SharedGroupName[] = []
  for (const { filter, byNode } of found) {
    for (const [node, interest] of byNode) {
      if (interest.qos !== undefined && (qosByNode.get(node) ?? 0) <= interest.qos) qosByNode.set(node, interest.qos)
      for (const { share } of interest.groups) {
        if (!groups.some((group) => group.share === share && group.filter === filter)) groups.push({ share, filter })
      }
    }
  }
  const all = [...qosByNode.keys()]
  const stored = all.filter((node) => qosByNode.get(node) === 1)
  const live = all.filter((node) => qosByNode.get(node) === 0)
  return { qos0: routeTo([], all), acknowledged: routeTo(stored, live), groups }
}
