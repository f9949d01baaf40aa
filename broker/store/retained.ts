// The retained messages in memory: a topic tree, exact topics by walking down, wildcards by walking only what can match.
import { decodeRetained, decodeRetainedHead, retainedHead } from './records.ts'
import type { Retained, RetainedStamp, RetainedWord } from './store.ts'

/**
 * One level of a topic. A message is kept as its record, so that a million of them are a million short runs of
 * bytes, not ten million objects; it is decoded when it is asked for.
 */
interface Node {
  readonly level: string
  /** An only child is kept without a map: most levels of a device's topics have one. */
  children: Node | Map<string, Node> | undefined
  record: Buffer | undefined
  start: number
  end: number
  /** Of the whole record, which may be on disk. */
  bytes: number
}

export class RetainedIndex {
  readonly #root = makeNode('')
  readonly #perUser = new Map<string, number>()
  readonly #now: () => number
  #count = 0
  #expiring = 0

  constructor(now: () => number) {
    this.#now = now
  }

  get count(): number {
    return this.#count
  }

  /** How many have an expiry: without any there is nothing to sweep. */
  get expiring(): number {
    return this.#expiring
  }

  countOf(username: string): number {
    return this.#perUser.get(username) ?? 0
  }

  /** Keeps the part of the buffer that holds the record of this topic's message. */
  set(topic: string, record: Buffer, start = 0, end: number = record.length, bytes: number = end - start): void {
    let node = this.#root
    for (const level of topic.split('/')) node = childOf(node, level) ?? addChild(node, level)
    this.#uncount(node)
    node.record = record
    node.start = start
    node.end = end
    node.bytes = bytes
    const { username, expiresAt } = decodeRetainedHead(record, start, end)
    this.#count += 1
    if (!Number.isNaN(expiresAt)) this.#expiring += 1
    this.#perUser.set(username, this.countOf(username) + 1)
  }

  /** How many bytes there were. */
  delete(topic: string): number {
    const levels = topic.split('/')
    const path = [this.#root]
    for (const level of levels) {
      const next = childOf(path[path.length - 1]!, level)
      if (next === undefined) return 0
      path.push(next)
    }
    const leaf = path[path.length - 1]!
    if (leaf.record === undefined) return 0
    this.#uncount(leaf)
    const { bytes } = leaf
    leaf.record = undefined
    for (let depth = levels.length; depth > 0 && isBare(path[depth]!); depth -= 1) {
      removeChild(path[depth - 1]!, levels[depth - 1]!)
    }
    return bytes
  }

  get(topic: string): Retained | undefined {
    const node = this.#find(topic)
    return node && this.#read(node)
  }

  /** Another one than before: the message was replaced. */
  recordOf(topic: string): unknown {
    return this.#find(topic)?.record
  }

  /** This record is on disk now: what lies behind its head is forgotten here, unless it was replaced. */
  leaveToDisk(topic: string, record: Buffer): void {
    const node = this.#find(topic)
    if (node?.record !== record) return
    node.record = retainedHead(record)
    node.end = node.record.length
  }

  /** Of the message that is there, also when it has expired. */
  stampOf(topic: string): RetainedStamp | undefined {
    const node = this.#find(topic)
    return node?.record && stampOf(decodeRetained(node.record, node.start, node.end))
  }

  /** All of them; `undefined` as in `match`. What has expired comes without its message. */
  *all(): IterableIterator<RetainedWord | undefined> {
    for (const node of descend(this.#root, { nodes: 0 })) {
      if (node === undefined) yield undefined
      if (node?.record === undefined) continue
      const found = decodeRetained(node.record, node.start, node.end)
      yield { topic: found.topic, stamp: stampOf(found), message: this.#read(node) }
    }
  }

  /** Messages that match; `undefined` now and then, also where nothing matches: a place to yield to the loop. */
  *match(filter: string): IterableIterator<Retained | undefined> {
    for (const node of walk(this.#root, filter.split('/'), 0, { nodes: 0 })) {
      const message = node === undefined ? undefined : this.#read(node)
      if (node === undefined || message !== undefined) yield message
    }
  }

  /** Topics of messages that have expired; `undefined` now and then: a place to yield to the loop. */
  *expired(): IterableIterator<string | undefined> {
    for (const node of descend(this.#root, { nodes: 0 })) {
      if (node === undefined) yield undefined
      if (node?.record === undefined || this.#read(node) !== undefined) continue
      yield decodeRetained(node.record, node.start, node.end).topic
    }
  }

  /** Undefined when there is none or it has expired (MQTT-3.3.2-5). */
  #read(node: Node): Retained | undefined {
    const { record, start, end } = node
    if (record === undefined) return undefined
    if (decodeRetainedHead(record, start, end).expiresAt <= this.#now()) return undefined
    const message = decodeRetained(record, start, end)
    // No retained message is empty: this is a head.
    return message.payload.length === 0 ? { ...message, payload: undefined } : message
  }

  #find(topic: string): Node | undefined {
    let node: Node | undefined = this.#root
    for (const level of topic.split('/')) {
      node = childOf(node, level)
      if (node === undefined) return undefined
    }
    return node
  }

  #uncount(node: Node): void {
    if (node.record === undefined) return
    const { username, expiresAt } = decodeRetainedHead(node.record, node.start, node.end)
    this.#count -= 1
    if (!Number.isNaN(expiresAt)) this.#expiring -= 1
    const left = this.countOf(username) - 1
    if (left > 0) this.#perUser.set(username, left)
    else this.#perUser.delete(username)
  }
}

export function stampOf({ publishedAt, origin }: Pick<Retained, 'publishedAt' | 'origin'>): RetainedStamp {
  return { publishedAt, storeId: origin?.storeId }
}

/** The nodes that match the filter from level `depth` on. `#` takes its parent too (4.7.1.2). */
function* walk(node: Node, filter: readonly string[], depth: number, pace: Pace): IterableIterator<Node | undefined> {
  if (isRestDue(pace)) yield undefined
  if (depth === filter.length) {
    yield node
    return
  }
  const level = filter[depth]!
  if (level === '#') {
    if (depth > 0) yield node
    for (const child of childrenOf(node)) {
      if (depth > 0 || !isHidden(child)) yield* descend(child, pace)
    }
    return
  }
  if (level !== '+') {
    const child = childOf(node, level)
    if (child !== undefined) yield* walk(child, filter, depth + 1, pace)
    return
  }
  for (const child of childrenOf(node)) {
    if (depth > 0 || !isHidden(child)) yield* walk(child, filter, depth + 1, pace)
  }
}

function* descend(node: Node, pace: Pace): IterableIterator<Node | undefined> {
  if (isRestDue(pace)) yield undefined
  yield node
  for (const child of childrenOf(node)) yield* descend(child, pace)
}

/** How many nodes one walk has come to. */
interface Pace {
  nodes: number
}

/** A step of a walk is this many nodes, about a tenth of a millisecond. */
const nodesPerStep = 500

function isRestDue(pace: Pace): boolean {
  pace.nodes += 1
  return pace.nodes % nodesPerStep === 0
}

/** Topics that begin with `$` are not matched by a leading wildcard (MQTT-4.7.2-1). */
function isHidden(first: Node): boolean {
  return first.level.charCodeAt(0) === 0x24
}

function isBare(node: Node): boolean {
  return node.record === undefined && node.children === undefined
}

function makeNode(level: string): Node {
  return { level, children: undefined, record: undefined, start: 0, end: 0, bytes: 0 }
}

function childOf(node: Node, level: string): Node | undefined {
  const { children } = node
  if (children === undefined) return undefined
  if (children instanceof Map) return children.get(level)
  return children.level === level ? children : undefined
}

function addChild(node: Node, level: string): Node {
  const child = makeNode(level)
  const { children } = node
  if (children === undefined) node.children = child
  else if (children instanceof Map) children.set(level, child)
  else {
    node.children = new Map([
      [children.level, children],
      [level, child],
    ])
  }
  return child
}

function removeChild(node: Node, level: string): void {
  if (!(node.children instanceof Map)) {
    node.children = undefined
    return
  }
  node.children.delete(level)
  if (node.children.size === 0) node.children = undefined
}

function childrenOf(node: Node): Iterable<Node> {
  const { children } = node
  if (children === undefined) return []
  return children instanceof Map ? children.values() : [children]
}
