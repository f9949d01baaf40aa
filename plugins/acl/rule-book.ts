// All rules of one version of the file, so arranged that a client is compared only with those that may concern it.
import type { ClientInfo, Decision, Identity } from '../../broker/plugin.ts'
import { ClientRights } from './client-rights.ts'
import { anyone, listOf } from './names.ts'
import { isNow, type Rule, readRule } from './rule.ts'
import { type RuleEntry, type RulesFile, rulesSchema } from './rules-file.ts'

export class RuleBook {
  /** The answer when no rule fits. */
  readonly noRule: Decision
  readonly #file: RulesFile
  readonly #place: (index: number) => string
  /** By their place in the file; read when they are first asked for, because a change concerns few of them. */
  readonly #read: (Rule | undefined)[]
  readonly #timed: readonly Rule[]
  /** Rules with time windows came with a login: then each minute may change somebody's rights. */
  #timedLogins = false
  /** Numbers of rules. */
  readonly #byUser = new Map<string, number[]>()
  readonly #byClient = new Map<string, number[]>()
  readonly #byGroup = new Map<string, number[]>()
  readonly #byRole = new Map<string, number[]>()
  readonly #rest: number[] = []

  /** `place` tells where rule number `index` stands; `fileName` names the file in the answer when no rule fits. */
  constructor(file: RulesFile, place: (index: number) => string, fileName: string) {
    this.#file = file
    this.#place = place
    this.#read = new Array<Rule | undefined>(file.length)
    this.noRule = Object.freeze({ allow: false, because: `${fileName}: no rule allows it` })
    const timed: number[] = []
    for (const [index, { allow, deny }] of file.entries()) {
      const { users, clients, groups, roles, times, since, until } = (allow ?? deny)!
      if (times !== undefined || since !== undefined || until !== undefined) timed.push(index)
      const isNamed =
        putEach(this.#byUser, users, index) ||
        putEach(this.#byClient, clients, index) ||
        putEach(this.#byGroup, groups, index) ||
        putEach(this.#byRole, roles, index)
      if (!isNamed) this.#rest.push(index)
    }
    this.#timed = timed.map((index) => this.#rule(index))
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
    return [...this.#file.map((_, index) => this.#rule(index)), ...this.#rulesOfLogin(client)]
  }

  #rulesOfFile({ id, identity }: ClientInfo): readonly Rule[] {
    return this.#indexesOf(identity, [this.#byClient.get(id) ?? []]).map((index) => this.#rule(index))
  }

  /** The entries that may concern somebody, whatever the client id. */
  entriesFor(identity: Identity): readonly RuleEntry[] {
    return this.#indexesOf(identity, this.#byClient.values()).map((index) => this.#file[index]!)
  }

  /** In the order of the file. */
  #indexesOf({ username, groups, roles }: Identity, ofClients: Iterable<readonly number[]>): number[] {
    const found = new Set(this.#rest)
    const add = (indexes: readonly number[] | undefined) => {
      for (const index of indexes ?? []) found.add(index)
    }
    add(this.#byUser.get(username))
    for (const indexes of ofClients) add(indexes)
    for (const group of groups) add(this.#byGroup.get(group))
    for (const role of roles) add(this.#byRole.get(role))
    return [...found].sort((a, b) => a - b)
  }

  #rule(index: number): Rule {
    const known = this.#read[index]
    if (known !== undefined) return known
    const rule = readRule(this.#file[index]!, index, this.#place)
    this.#read[index] = rule
    return rule
  }

  /** Throws when they are no rules, so that what is asked is denied. */
  #rulesOfLogin({ identity }: ClientInfo): readonly Rule[] {
    if (identity.rules === undefined) return []
    const from = this.#file.length
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

/** False: it speaks of everybody. */
function putEach(map: Map<string, number[]>, written: string | readonly string[] | undefined, index: number): boolean {
  const names = listOf(written)
  if (names.length === 0 || names.includes(anyone)) return false
  for (const name of names) {
    const known = map.get(name)
    if (known === undefined) map.set(name, [index])
    else if (known.at(-1) !== index) known.push(index)
  }
  return true
}
