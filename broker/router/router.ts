// Who holds which filter: exact filters by map, wildcards by a tree, the answer for a hot topic by cache.
import { FilterTree } from './filter-tree.ts'
import { ShareGroup, type ShareStrategy } from './share-group.ts'

/** One session's hold on one filter. The router keeps its place in it and looks at nothing else. */
export interface Member {
  /** Index among the online members of its route or group; -1 while offline. Kept by the router. */
  slot: number
  /** Messages for it are kept while it is offline: a persistent session with QoS 1 or 2. */
  readonly queueing: boolean
  readonly qos: 0 | 1 | 2
  /** Messages sent to it and not acknowledged. */
  readonly load: number
  /** True: it may not get messages of this topic, although it holds a filter that matches. */
  readonly withhold?: ((topic: string) => boolean) | undefined
  /** It is away and may not have the filter any more: it is chosen last. */
  readonly barred?: boolean
}

/** All that hold one filter. */
export class Route<M extends Member> {
  readonly filter: string
  /** Connected members, in no order. */
  readonly online: M[] = []
  /** All members, groups included. */
  members = 0
  /** Those outside of groups; and of these, those with QoS 1 or 2. */
  plain = 0
  acknowledged = 0
  /** Members outside of groups for which messages are kept while they are offline. */
  queueing = 0
  /** By the NAME of `$share/NAME/filter`. */
  groups: Map<string, ShareGroup<M>> | undefined

  constructor(filter: string) {
    this.filter = filter
  }
}

/** Told of every change of who holds a filter that other nodes may have to know: the filter. */
export type RouteWatcher = (filter: string) => void

/** Distinct topics whose routes are remembered; over it the memory starts anew. */
const cacheTopics = 10_000
const noRoutes: readonly never[] = []

export class Router<M extends Member> {
  readonly #exact = new Map<string, Route<M>>()
  readonly #wild = new FilterTree<Route<M>>()
  readonly #strategy: ShareStrategy
  /** The number of the latest subscription: a message that came before a subscription does not belong to it. */
  newest = 0
  /** Undefined: nobody wants to know. */
  watcher: RouteWatcher | undefined
  #cache = new Map<string, readonly Route<M>[]>()

  constructor(strategy: ShareStrategy) {
    this.#strategy = strategy
  }

  /** Adds an offline member. */
  add(filter: string, share: string | undefined, member: M): void {
    const route = this.#routeFor(filter)
    route.members += 1
    if (share === undefined) {
      if (member.queueing) route.queueing += 1
      this.#enterPlain(route, member.qos > 0)
      return
    }
    this.watcher?.(filter)
    route.groups ??= new Map()
    const group = route.groups.get(share) ?? new ShareGroup<M>(share, filter, this.#strategy)
    route.groups.set(share, group)
    group.enterAway(member)
  }

  /** The same for a member outside of groups who is made only when it is needed: until then it is a number here. */
  addUnmade(filter: string, queueing: boolean): void {
    const route = this.#routeFor(filter)
    route.members += 1
    if (queueing) route.queueing += 1
    this.#enterPlain(route, queueing)
  }

  removeUnmade(filter: string, queueing: boolean): void {
    const route = this.find(filter)
    if (route === undefined) return
    route.members -= 1
    if (queueing) route.queueing -= 1
    this.#leavePlain(route, queueing)
    if (route.members === 0) this.#forget(route)
  }

  remove(filter: string, share: string | undefined, member: M): void {
    const route = this.find(filter)
    if (route === undefined) return
    this.setOnline(filter, share, member, false)
    route.members -= 1
    if (share === undefined) {
      if (member.queueing) route.queueing -= 1
      this.#leavePlain(route, member.qos > 0)
    } else {
      this.watcher?.(filter)
      const group = route.groups?.get(share)
      group?.leaveAway(member)
      if (group !== undefined && group.size === 0) route.groups?.delete(share)
    }
    if (route.members === 0) this.#forget(route)
  }

  setOnline(filter: string, share: string | undefined, member: M, online: boolean): void {
    if (online === member.slot >= 0) return
    const route = this.find(filter)
    if (route === undefined) return
    if (share === undefined) {
      if (online) enter(route.online, member)
      else leave(route.online, member)
      return
    }
    const group = route.groups?.get(share)
    if (group === undefined) return
    this.watcher?.(filter)
    if (online) {
      group.leaveAway(member)
      enter(group.online, member)
    } else {
      leave(group.online, member)
      group.enterAway(member)
    }
  }

  find(filter: string): Route<M> | undefined {
    return isWild(filter) ? this.#wild.get(filter) : this.#exact.get(filter)
  }

  /** The routes whose filter matches a topic name (MQTT 4.7). The array is shared: do not change it. */
  match(topic: string): readonly Route<M>[] {
    const known = this.#cache.get(topic)
    if (known !== undefined) return known
    const exact = this.#exact.get(topic)
    let routes: readonly Route<M>[] = exact === undefined ? noRoutes : [exact]
    if (this.#wild.size > 0) {
      const wild = this.#wild.match(topic)
      if (wild.length > 0) routes = exact === undefined ? wild : [exact, ...wild]
    }
    if (this.#cache.size >= cacheTopics) this.#cache = new Map()
    this.#cache.set(topic, routes)
    return routes
  }

  /** All that somebody holds. What changes meanwhile may or may not be among them. */
  *routes(): IterableIterator<Route<M>> {
    yield* this.#exact.values()
    yield* this.#wild.values()
  }

  #enterPlain(route: Route<M>, acknowledged: boolean): void {
    route.plain += 1
    if (acknowledged) route.acknowledged += 1
    if (route.plain === 1 || (acknowledged && route.acknowledged === 1)) this.watcher?.(route.filter)
  }

  #leavePlain(route: Route<M>, acknowledged: boolean): void {
    route.plain -= 1
    if (acknowledged) route.acknowledged -= 1
    if (route.plain === 0 || (acknowledged && route.acknowledged === 0)) this.watcher?.(route.filter)
  }

  #routeFor(filter: string): Route<M> {
    const make = (): Route<M> => {
      this.#invalidate(filter)
      return new Route<M>(filter)
    }
    if (isWild(filter)) return this.#wild.obtain(filter, make)
    const known = this.#exact.get(filter)
    if (known !== undefined) return known
    const route = make()
    this.#exact.set(filter, route)
    return route
  }

  #forget(route: Route<M>): void {
    if (isWild(route.filter)) this.#wild.delete(route.filter)
    else this.#exact.delete(route.filter)
    this.#invalidate(route.filter)
  }

  /** An exact filter concerns one topic; a wildcard may concern all. */
  #invalidate(filter: string): void {
    if (!isWild(filter)) this.#cache.delete(filter)
    else if (this.#cache.size > 0) this.#cache = new Map()
  }
}

function isWild(filter: string): boolean {
  return filter.includes('+') || filter.includes('#')
}

function enter<M extends Member>(members: M[], member: M): void {
  member.slot = members.length
  members.push(member)
}

/** The last member takes the free place, so that leaving costs the same in a room of any size. */
function leave<M extends Member>(members: M[], member: M): void {
  const last = members.pop()
  if (last !== undefined && last !== member) {
    members[member.slot] = last
    last.slot = member.slot
  }
  member.slot = -1
}
