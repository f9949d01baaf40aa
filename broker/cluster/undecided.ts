// Messages that came while nobody knew what the other nodes want: a node that starts while Redis is away keeps them in a
// stream of their own, and finds out when it is back.
import { errorText } from '../errors.ts'
import type { Message } from '../message.ts'
import type { PluginLog } from '../plugin.ts'
import { committed, type Store } from '../store/store.ts'
import { nodeStream, type RemoteRoute } from './cluster.ts'

/** No node is called so. */
const undecided = '?'
const stream = nodeStream(undecided)
/** In the same batch as what was decided: after a crash nothing is decided twice. */
const mark = 'decided'
const readMessages = 200
const retryMs = 1_000

export interface UndecidedParts {
  readonly store: Store
  readonly log: PluginLog
  /** Of one that was published here: appends the copies for other nodes. The nodes that are to be told of them. */
  decide(message: Message): readonly string[]
  /** What was appended is durable. */
  decided(sequence: number, nodes: readonly string[]): void
}

export class Undecided {
  readonly route: RemoteRoute = { stored: [undecided], streams: [stream], live: [] }
  readonly #parts: UndecidedParts
  #position: number
  /** How often the route was taken: while one is read, another may come. */
  #routed = 0
  #isOpen = true
  #running = false
  #isStopped = false

  constructor(parts: UndecidedParts, marks: ReadonlyMap<string, number>) {
    this.#parts = parts
    this.#position = marks.get(mark) ?? 0
  }

  /** True: messages must take this route, so that they do not overtake those that took it. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  get hasSome(): boolean {
    return this.#parts.store.held(stream).messages > 0
  }

  /** The route for one message. */
  take(message: Message): RemoteRoute | undefined {
    if (message.qos === 0 && !message.retain) return undefined
    this.#routed += 1
    return this.route
  }

  isUndecided(node: string): boolean {
    return node === undecided
  }

  /** It is known now what the others want. */
  close(): void {
    if (!this.#isOpen || this.#running || this.#isStopped) return
    this.#running = true
    void this.#run()
  }

  /** What is not decided by now is decided after the next start. */
  stop(): void {
    this.#isStopped = true
  }

  async #run(): Promise<void> {
    while (this.#isOpen && !this.#isStopped) {
      try {
        await this.#step()
      } catch (error) {
        this.#parts.log.warn({ error: errorText(error) }, 'messages for other nodes wait for their decision')
        await new Promise((resolve) => setTimeout(resolve, retryMs).unref())
      }
    }
  }

  async #step(): Promise<void> {
    const { store } = this.#parts
    const routed = this.#routed
    const { entries, through } = await store.read([{ stream, after: this.#position }], readMessages)
    const nodes = new Set<string>()
    for (const { message } of entries) for (const node of this.#parts.decide(message)) nodes.add(node)
    const last = entries[entries.length - 1]?.sequence
    if (last === undefined) {
      if (routed !== this.#routed) return
      this.#isOpen = false
      store.trim(stream, Math.max(through, this.#position))
      return
    }
    store.putMark(mark, last)
    const appended = store.lastSequence
    await committed(store)
    this.#position = last
    store.trim(stream, last)
    this.#parts.decided(appended, [...nodes])
  }
}
