// A tree of topic filters, one level for each level of the filter; finds all that match a topic name (MQTT 4.7).

interface Node<T> {
  value: T | undefined
  /** Children by level, `+` and `#` among them. Made when the first child comes. */
  children: Map<string, Node<T>> | undefined
  plus: Node<T> | undefined
  hash: Node<T> | undefined
}

export class FilterTree<T> {
  readonly #root = makeNode<T>()
  #size = 0

  get size(): number {
    return this.#size
  }

  get(filter: string): T | undefined {
    let node: Node<T> | undefined = this.#root
    for (const level of filter.split('/')) {
      node = child(node, level)
      if (node === undefined) return undefined
    }
    return node.value
  }

  /** The value of the filter; made when there is none. */
  obtain(filter: string, make: () => T): T {
    let node = this.#root
    for (const level of filter.split('/')) node = child(node, level) ?? grow(node, level)
    if (node.value === undefined) {
      node.value = make()
      this.#size += 1
    }
    return node.value
  }

  delete(filter: string): void {
    const levels = filter.split('/')
    const path: Node<T>[] = [this.#root]
    for (const level of levels) {
      const next = child(path[path.length - 1]!, level)
      if (next === undefined) return
      path.push(next)
    }
    const leaf = path[path.length - 1]!
    if (leaf.value === undefined) return
    leaf.value = undefined
    this.#size -= 1
    for (let depth = levels.length; depth > 0 && isBare(path[depth]!); depth -= 1) {
      prune(path[depth - 1]!, levels[depth - 1]!)
    }
  }

  /** All values, in no order. */
  values(): IterableIterator<T> {
    return valuesOf(this.#root)
  }

  /** The values of all filters that match; those with a leading wildcard do not match `$` topics (MQTT-4.7.2-1). */
  match(topic: string): T[] {
    const found: T[] = []
    collect(this.#root, topic, 0, topic.charCodeAt(0) === 36, found)
    return found
  }
}

/** `start` is where the next level begins; past the end there is no further level. */
function collect<T>(node: Node<T>, topic: string, start: number, wildcardsBarred: boolean, found: T[]): void {
  // `a/#` matches `a` itself too (MQTT 4.7.1.2), so `#` is looked at before the end is.
  if (!wildcardsBarred && node.hash?.value !== undefined) found.push(node.hash.value)
  if (start > topic.length) {
    if (node.value !== undefined) found.push(node.value)
    return
  }
  const slash = topic.indexOf('/', start)
  const end = slash < 0 ? topic.length : slash
  if (!wildcardsBarred && node.plus !== undefined) collect(node.plus, topic, end + 1, false, found)
  const next = node.children?.get(topic.slice(start, end))
  if (next !== undefined) collect(next, topic, end + 1, false, found)
}

function* valuesOf<T>(node: Node<T>): IterableIterator<T> {
  if (node.value !== undefined) yield node.value
  if (node.plus !== undefined) yield* valuesOf(node.plus)
  if (node.hash !== undefined) yield* valuesOf(node.hash)
  for (const next of node.children?.values() ?? []) yield* valuesOf(next)
}

function makeNode<T>(): Node<T> {
  return { value: undefined, children: undefined, plus: undefined, hash: undefined }
}

function child<T>(node: Node<T>, level: string): Node<T> | undefined {
  if (level === '+') return node.plus
  if (level === '#') return node.hash
  return node.children?.get(level)
}

function grow<T>(node: Node<T>, level: string): Node<T> {
  const made = makeNode<T>()
  if (level === '+') node.plus = made
  else if (level === '#') node.hash = made
  else {
    node.children ??= new Map()
    node.children.set(level, made)
  }
  return made
}

function prune<T>(node: Node<T>, level: string): void {
  if (level === '+') node.plus = undefined
  else if (level === '#') node.hash = undefined
  else {
    node.children?.delete(level)
    if (node.children?.size === 0) node.children = undefined
  }
}

function isBare<T>(node: Node<T>): boolean {
  return node.value === undefined && node.children === undefined && node.plus === undefined && node.hash === undefined
}
