// Topic filters compared with topics and with one another (MQTT 4.7), for the rules of acl-file.

/** Why a text is no topic filter; undefined when it is one. */
export function filterMistake(filter: string): string | undefined {
  if (filter === '') return 'must not be empty'
  if (filter.includes('\0')) return 'must not contain U+0000'
  const levels = filter.split('/')
  for (const [index, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || index !== levels.length - 1)) {
      return '"#" may only be the whole last level'
    }
    if (level.includes('+') && level !== '+') return '"+" may only be a whole level'
  }
  return undefined
}

/** True when at least one topic is matched by both. */
export function overlaps(one: string, other: string): boolean {
  const left = one.split('/')
  const right = other.split('/')
  if (isWildcard(left[0]!) && right[0]!.startsWith('$')) return false
  if (isWildcard(right[0]!) && left[0]!.startsWith('$')) return false
  for (let index = 0; ; index++) {
    const here = left[index]
    const there = right[index]
    if (here === '#' || there === '#') return true
    if (here === undefined || there === undefined) return here === there
    if (here !== there && here !== '+' && there !== '+') return false
  }
}

function isWildcard(level: string): boolean {
  return level === '+' || level === '#'
}

/** Made with what it holds: each client that publishes has such trees, and an empty map is 180 bytes. */
interface Node<T> {
  /** By the name of the next level. */
  children: Map<string, Node<T>> | undefined
  /** The next level is `+`. */
  plus: Node<T> | undefined
  /** Of the filters that go on with `#`. */
  hash: T[] | undefined
  /** Of the filters that end here. */
  values: T[] | undefined
}

function makeNode<T>(): Node<T> {
  return { children: undefined, plus: undefined, hash: undefined, values: undefined }
}

/** Values under filters; finds all whose filter matches a topic in one walk. */
export class MatchTree<T> {
  readonly #root = makeNode<T>()
  #depth = 0

  /** The levels of the longest filter. */
  get depth(): number {
    return this.#depth
  }

  add(filter: string, value: T): void {
    let node = this.#root
    const levels = filter.split('/')
    this.#depth = Math.max(this.#depth, levels.length)
    for (const level of levels) {
      if (level === '#') {
        node.hash = added(node.hash, value)
        return
      }
      node = level === '+' ? plusOf(node) : childOf(node, level)
    }
    node.values = added(node.values, value)
  }

  /** In no particular order. */
  match(topic: string): T[] {
    return this.matchLevels(topic.split('/'))
  }

  matchLevels(levels: readonly string[]): T[] {
    const found: T[] = []
    collect(this.#root, levels, 0, found)
    return found
  }

  matches(topic: string): boolean {
    return this.matchesLevels(topic.split('/'))
  }

  matchesLevels(levels: readonly string[]): boolean {
    return reaches(this.#root, levels, 0)
  }
}

function childOf<T>(node: Node<T>, level: string): Node<T> {
  node.children ??= new Map()
  let child = node.children.get(level)
  if (child === undefined) {
    child = makeNode()
    node.children.set(level, child)
  }
  return child
}

function plusOf<T>(node: Node<T>): Node<T> {
  node.plus ??= makeNode()
  return node.plus
}

/** An array that is pushed into has room for 17. */
function added<T>(values: T[] | undefined, value: T): T[] {
  if (values === undefined) return [value]
  values.push(value)
  return values
}

function collect<T>(node: Node<T>, levels: readonly string[], at: number, found: T[]): void {
  const level = levels[at]
  const wildcards = at > 0 || !level!.startsWith('$')
  if (wildcards && node.hash !== undefined) found.push(...node.hash)
  if (level === undefined) {
    if (node.values !== undefined) found.push(...node.values)
    return
  }
  const exact = node.children?.get(level)
  if (exact !== undefined) collect(exact, levels, at + 1, found)
  if (wildcards && node.plus !== undefined) collect(node.plus, levels, at + 1, found)
}

/** As `collect`, up to the first one. */
function reaches(node: Node<unknown>, levels: readonly string[], at: number): boolean {
  const level = levels[at]
  const wildcards = at > 0 || level!.charCodeAt(0) !== dollar
  if (wildcards && node.hash !== undefined) return true
  if (level === undefined) return node.values !== undefined
  const exact = node.children?.get(level)
  if (exact !== undefined && reaches(exact, levels, at + 1)) return true
  return wildcards && node.plus !== undefined && reaches(node.plus, levels, at + 1)
}

const dollar = 0x24
