// All rules of one version of the file, so arranged that a client is compared only with those that may concern it.
import type { ClientInfo, Decision } from '../../broker/plugin.ts'
import { ClientRights } from './client-rights.ts'
import { isNow, type Rule, readRule } from './rule.ts'
import { type RulesFile, rulesSchema } from './rules-file.ts'

export class RuleBook {
  readonly rules: readonly Rule[]
  /** The answer when no rule fits. */
  readonly noRule: Decision
  readonly #timed: readonly Rule[]
  /** Rules with time windows came with a login: then each minute may change somebody's rights. */
  #timedLogins = false
  readonly #byUser = new Map<string, Rule[]>()
  readonly #byClient = new Map<string, Rule[]>()
  readonly #byGroup = new Map<string, Rule[]>()
  readonly #byRole = new Map<string, Rule[]>()
  readonly #rest: Rule[] = []

  /** `place` tells where rule number `index` stands; `fileName` names the file in the answer when no rule fits. */
  constructor(file: RulesFile, place: (index: number) => string, fileName: string) {
    this.rules = file.map((entry, index) => readRule(entry, index, place))
    this.noRule = Object.freeze({ allow: false, because: `${fileName}: no rule allows it` })
    this.#timed = this.rules.filter(({ when }) => when !== undefined)
    for (const rule of this.rules) {
      const { users, clients, groups, roles } = rule
      if (users !== undefined) putEach(this.#byUser, users, rule)
      else if (clients !== undefined) putEach(this.#byClient, clients, rule)
      else if (groups !== undefined) putEach(this.#byGroup, groups, rule)
      else if (roles !== undefined) putEach(this.#byRole, roles, rule)
      else this.#rest.push(rule)
    }
  }

  rightsOf(client: ClientInfo, atMs: number): ClientRights {
    return new ClientRights(client, this.rulesFor(client), this.noRule, atMs)
  }

  /** Those that may hold for a client: of the file in its order, then those that came with the login. */
  rulesFor(client: ClientInfo): readonly Rule[] {
    return [...this.#rulesOfFile(client), ...this.#rulesOfLogin(client)]
  }

  /** Those of the file, whoever they speak of, and those that came with the login. */
  everyRule(client: ClientInfo): readonly Rule[] {
    return [...this.rules, ...this.#rulesOfLogin(client)]
  }

  #rulesOfFile({ id, identity }: ClientInfo): readonly Rule[] {
    const found = new Set(this.#rest)
    const add = (rules: readonly Rule[] | undefined) => {
      for (const rule of rules ?? []) found.add(rule)
    }
    add(this.#byUser.get(identity.username))
    add(this.#byClient.get(id))
    for (const group of identity.groups) add(this.#byGroup.get(group))
    for (const role of identity.roles) add(this.#byRole.get(role))
    return [...found].sort((a, b) => a.index - b.index)
  }

  /** Throws when they are no rules, so that what is asked is denied. */
  #rulesOfLogin({ identity }: ClientInfo): readonly Rule[] {
    if (identity.rules === undefined) return []
    const from = this.rules.length
    const place = (index: number) => `rule ${index - from + 1} of the login:`
    const rules = rulesSchema.parse(identity.rules).map((entry, index) => readRule(entry, from + index, place))
    this.#timedLogins ||= rules.some(({ when }) => when !== undefined)
    return rules
  }

  /** Which of the rules with time windows hold now; two moments with the same answer have the same rights. */
  openAt(atMs: number): string {
    const open = this.#timed.map(({ when }) => (isNow(when!, atMs) ? '1' : '0')).join('')
    return this.#timedLogins ? `${open} ${minuteOf(atMs)}` : open
  }

  /** When `openAt` may answer otherwise than now: windows open and close with a minute. */
  nextLookMs(nowMs: number): number {
    const minute = (minuteOf(nowMs) + 1) * minuteMs
    const instants = this.#timed.flatMap(({ when }) => [when!.sinceMs, when!.untilMs]).filter((at) => at > nowMs)
    return Math.min(minute, ...instants)
  }
}

const minuteMs = 60_000

function minuteOf(atMs: number): number {
  return Math.floor(atMs / minuteMs)
}

/** Plugin and access of one version share the book: both are asked of one file. */
const books = new WeakMap<RulesFile, RuleBook>()

export function bookOf(file: RulesFile, place: (index: number) => string, fileName: string): RuleBook {
  const known = books.get(file)
  if (known !== undefined) return known
  const book = new RuleBook(file, place, fileName)
  books.set(file, book)
  return book
}

function putEach(map: Map<string, Rule[]>, names: ReadonlySet<string>, rule: Rule): void {
  for (const name of names) {
    const known = map.get(name)
    if (known === undefined) map.set(name, [rule])
    else known.push(rule)
  }
}
