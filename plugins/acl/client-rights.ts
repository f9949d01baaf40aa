// What one client may do: the rules that hold for it, as trees of filters.
import type { ClientInfo, Decision, SubscribeDecision } from '../../broker/plugin.ts'
import { witnesses } from './covering.ts'
import { MatchTree, overlaps } from './filters.ts'
import {
  type Action,
  appliesTo,
  type Effect,
  type Grant,
  grantsOf,
  highestQos,
  holds,
  lowestQos,
  type QoS,
  type Rule,
} from './rule.ts'

export interface Rights {
  publish(topic: string, qos: QoS, retain: boolean): Decision
  subscribe(filter: string, qos: QoS): SubscribeDecision
}

/** Topics whose answers one client's rights remember; over it all are forgotten and found again. */
const rememberedTopicsMax = 32

export const brokerOnly: Decision = Object.freeze({
  allow: false,
  because: 'acl-file: only the broker publishes to $SYS',
})

/** By the effect of the rule. */
type Trees = Readonly<Record<Effect, MatchTree<Grant>>>

/** Trees are made when they are asked: most clients only publish, or have subscribed and ask no more. */
export class ClientRights implements Rights {
  readonly #client: ClientInfo
  /** Those that hold for it now. */
  readonly #rules: readonly Rule[]
  readonly #noRule: Decision
  #publish: Trees | undefined = undefined
  #subscribe: (Trees & { readonly denied: readonly Grant[] }) | undefined = undefined
  /** For each topic the answers by QoS and retain flag, so that a busy publisher costs one lookup. */
  #remembered: Map<string, (Decision | undefined)[]> | undefined = undefined

  constructor(client: ClientInfo, rules: readonly Rule[], noRule: Decision, atMs: number) {
    this.#client = client
    this.#noRule = noRule
    this.#rules = rules.filter((rule) => holds(rule, client, atMs))
  }

  publish(topic: string, qos: QoS, retain: boolean): Decision {
    const slot = qos * 2 + Number(retain)
    this.#remembered ??= new Map()
    let answers = this.#remembered.get(topic)
    const remembered = answers?.[slot]
    if (remembered !== undefined) return remembered
    if (answers === undefined) {
      if (this.#remembered.size >= rememberedTopicsMax) this.#remembered.clear()
      answers = new Array<Decision | undefined>(6).fill(undefined)
      this.#remembered.set(topic, answers)
    }
    const decision = this.#decidePublish(topic, qos, retain)
    answers[slot] = decision
    return decision
  }

  #decidePublish(topic: string, qos: QoS, retain: boolean): Decision {
    if (isBrokerOnly(topic)) return brokerOnly
    const decider = this.publishDecider(topic, qos, retain)
    return decider?.pattern.decision ?? this.#noRule
  }

  /** The grant that decides: of the denies that fit the first, else of the allows. */
  publishDecider(topic: string, qos: QoS, retain: boolean): Grant | undefined {
    this.#publish ??= this.#trees('publish')
    const trees = this.#publish
    const first = (effect: Effect): Grant | undefined =>
      earliest(trees[effect].match(topic).filter(({ rule }) => appliesTo(rule, qos, retain)))
    return first('deny') ?? first('allow')
  }

  subscribe(filter: string, qos: QoS): SubscribeDecision {
    const ruling = this.subscribeRuling(filter, qos)
    if (ruling.kind === 'none') return this.#noRule
    if (ruling.kind === 'denied') return ruling.by.pattern.decision
    const { by, maxQos, withheld } = ruling
    const decision = by.length === 1 ? by[0]!.pattern.decision : together(by, filter)
    const asked = Math.min(qos, decision.maxQos ?? 2)
    if (withheld.length === 0 && maxQos >= asked) return decision
    return { ...decision, maxQos, ...(withheld.length === 0 ? {} : { withhold: withholdOf(withheld) }) }
  }

  /**
   * A filter is granted when the allowed filters together cover it, up to the QoS at which they do; it is refused when
   * the denied ones do. What a deny names of a granted filter is withheld.
   */
  subscribeRuling(filter: string, qos: QoS): SubscribeRuling {
    this.#subscribe ??= { ...this.#trees('subscribe'), denied: [...this.#grants('subscribe', 'deny')] }
    const { allow, deny, denied } = this.#subscribe
    const topics = witnesses(filter, Math.max(allow.depth, deny.depth))
    let ceiling = -1
    let refusing: Grant | undefined
    for (const topic of topics) {
      const denials = deny.matchLevels(topic)
      ceiling = Math.max(ceiling, Math.min(qos, ...denials.map((grant) => lowestQos(grant) - 1)))
      refusing ??= earliest(denials.filter((grant) => lowestQos(grant) === 0))
    }
    if (ceiling < 0) return { kind: 'denied', by: refusing! }
    const allows = topics.map((topic) => allow.matchLevels(topic))
    const reached = Math.min(...allows.map((grants) => Math.max(-1, ...grants.map(highestQos))))
    if (reached < 0) return { kind: 'none' }
    const maxQos = Math.min(ceiling, reached) as QoS
    const withheld = denied.filter((grant) => lowestQos(grant) <= maxQos && overlaps(grant.filter, filter))
    return { kind: 'allowed', by: deciders(allows), maxQos, withheld }
  }

  #trees(action: Action): Trees {
    const trees = { allow: new MatchTree<Grant>(), deny: new MatchTree<Grant>() }
    for (const effect of ['allow', 'deny'] as const) {
      for (const grant of this.#grants(action, effect)) trees[effect].add(grant.filter, grant)
    }
    return trees
  }

  *#grants(action: Action, effect: Effect): IterableIterator<Grant> {
    for (const rule of this.#rules) if (rule.effect === effect) yield* grantsOf(rule, action, this.#client)
  }
}

export type SubscribeRuling =
  | { readonly kind: 'none' }
  | { readonly kind: 'denied'; readonly by: Grant }
  | {
      readonly kind: 'allowed'
      /** One that covers the filter alone, with the highest QoS; or all that it takes. */
      readonly by: readonly Grant[]
      readonly maxQos: QoS
      readonly withheld: readonly Grant[]
    }

export function isBrokerOnly(topic: string): boolean {
  return topic === '$SYS' || topic.startsWith('$SYS/')
}

/** For each topic one grant: where one serves all of them, that one. */
function deciders(allows: readonly (readonly Grant[])[]): Grant[] {
  const [first = [], ...rest] = allows
  const everywhere = first.filter((grant) => rest.every((grants) => grants.includes(grant)))
  const alone = best(everywhere)
  return alone === undefined ? [...new Set(allows.map((grants) => best(grants)!))] : [alone]
}

function best(grants: readonly Grant[]): Grant | undefined {
  return [...grants].sort((a, b) => highestQos(b) - highestQos(a) || a.rule.index - b.rule.index)[0]
}

function earliest(grants: readonly Grant[]): Grant | undefined {
  return grants.reduce<Grant | undefined>(
    (first, grant) => (first === undefined || grant.rule.index < first.rule.index ? grant : first),
    undefined,
  )
}

function together(grants: readonly Grant[], filter: string): SubscribeDecision {
  const rules = grants.map(({ pattern }) => pattern.decision.because)
  const maxQos = Math.min(...grants.map(highestQos)) as QoS
  return { allow: true, because: `${rules.join(' and ')} together cover ${filter}`, ...(maxQos < 2 ? { maxQos } : {}) }
}

function withholdOf(withheld: readonly Grant[]): (topic: string) => boolean {
  const tree = new MatchTree<true>()
  for (const { filter } of withheld) tree.add(filter, true)
  return (topic) => tree.matches(topic)
}
