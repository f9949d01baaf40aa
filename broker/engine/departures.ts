// What of a message that is published here leaves for other nodes: by the log, by QoS 0, or to one member of a group.
import { nodeStream, type RemoteRoute, type Routing, type SharedGroupName } from '../cluster/cluster.ts'
import type { Subscription } from '../delivery/subscription.ts'
import type { Message } from '../message.ts'
import type { Route } from '../router/router.ts'
import type { Store } from '../store/store.ts'
import { pickShared } from './pick-shared.ts'

export interface Plan {
  readonly route: RemoteRoute | undefined
  /** Of the groups, who gets it here. */
  readonly picked: readonly Subscription[] | undefined
  /** And who elsewhere. */
  readonly elsewhere: readonly GroupCopy[]
}

interface GroupCopy {
  readonly node: string
  /** `$share/NAME/filter` */
  readonly via: string
}

/** What lies in the log for other nodes. */
export interface Departure {
  /** Of the last copy. */
  readonly sequence: number
  readonly nodes: readonly string[]
}

/** The streams under which the message itself is appended for other nodes; undefined: none. */
export function outboundStreams({ route }: Plan): readonly string[] | undefined {
  return route === undefined || route.streams.length === 0 ? undefined : route.streams
}

export class Departures {
  readonly #routing: Routing

  constructor(routing: Routing) {
    this.#routing = routing
  }

  /** Undefined: nothing leaves, and groups are for this node alone. */
  plan(message: Message, routes: readonly Route<Subscription>[]): Plan | undefined {
    const route = this.#routing.route(message)
    const groups = this.#routing.sharedElsewhere(message)
    if (route === undefined && groups.length === 0) return undefined
    const picked = pickShared(routes, message) ?? []
    const elsewhere: GroupCopy[] = []
    for (const { share, filter } of groups) {
      const index = picked.findIndex((member) => member.share === share && member.filter === filter)
      // Connected members first, here before elsewhere; then those who are away, here before elsewhere.
      if (index >= 0 && picked[index]!.slot >= 0) continue
      const other = this.#routing.pickShared(share, filter, message.topic)
      if (other === undefined || (!other.online && (index >= 0 || message.qos === 0))) continue
      if (index >= 0) picked.splice(index, 1)
      elsewhere.push({ node: other.node, via: `$share/${share}/${filter}` })
    }
    return { route, picked, elsewhere }
  }

  /** For a member of one group elsewhere; undefined: there is none. */
  planForOne({ share, filter }: SharedGroupName, message: Message, onlineAlone: boolean): Plan | undefined {
    const other = this.#routing.pickShared(share, filter, message.topic)
    if (other === undefined || (!other.online && (onlineAlone || message.qos === 0))) return undefined
    return { route: undefined, picked: undefined, elsewhere: [{ node: other.node, via: `$share/${share}/${filter}` }] }
  }

  /** Appends the copies for groups. `appended`: the message itself, under its `outboundStreams`; 0: there are none. */
  append(message: Message, plan: Plan, appended: number, store: Store): Departure | undefined {
    const nodes = appended === 0 ? [] : [...(plan.route?.stored ?? [])]
    let sequence = appended
    if (message.qos > 0) {
      for (const { node, via } of plan.elsewhere) {
        sequence = store.append({ ...message, via }, [nodeStream(node)])
        if (!nodes.includes(node)) nodes.push(node)
      }
    }
    return nodes.length === 0 ? undefined : { sequence, nodes }
  }

  /** After the commit, or when there is nothing to commit: what goes at most once. */
  sendLive(message: Message, { route, elsewhere }: Plan): void {
    if (route !== undefined && route.live.length > 0) this.#routing.sendLive(message, route.live)
    if (message.qos > 0) return
    for (const { node, via } of elsewhere) this.#routing.sendLive({ ...message, via }, [node])
  }

  /** After the commit. */
  send({ sequence, nodes }: Departure, done: () => void): void {
    this.#routing.whenForwarded(sequence, nodes, done)
  }
}
