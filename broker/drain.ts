// Empties a node before it ends: nobody comes in, the clients are sent to other nodes, and their sessions follow.
import { setTimeout as wait } from 'node:timers/promises'
import type { ClusterOperations } from './cluster/cluster-status.ts'
import { errorText, OrioleError } from './errors.ts'
import type { PluginLog } from './plugin.ts'

export interface DrainParts {
  readonly log: PluginLog
  /** Undefined: there is nobody to send the clients to. */
  readonly operations: ClusterOperations | undefined
  shutDoors(): Promise<void>
  openDoors(): Promise<void>
  /** Sends those who are connected away, so many a second, until nobody is left or the signal says stop. */
  sendAway(perS: number, references: () => readonly string[], signal: AbortSignal): Promise<number>
  /** Who comes now is let in again. */
  stay(): void
  /** The sessions that are left go to other nodes. Resolves with how many could not. */
  giveAway(signal: AbortSignal): Promise<number>
}

export interface Drained {
  readonly clients: number
  readonly sessions: number
  /** Sessions that stay on this node's disk: nobody took them. */
  readonly sessionsLeft: number
  /** Messages for other nodes that stay here until this node starts again. */
  readonly messagesLeft: number
}

/** So long other nodes may take for the last messages that this one has for them. */
const lastMessagesMs = 20_000
const lookEveryMs = 100

export class Drain {
  readonly #parts: DrainParts
  #isRunning = false
  #isDone = false

  constructor(parts: DrainParts) {
    this.#parts = parts
  }

  get isRunning(): boolean {
    return this.#isRunning
  }

  /** It is empty: whoever runs the broker may stop it. */
  get isDone(): boolean {
    return this.#isDone
  }

  /** Rejects with OrioleError when there is nowhere to go, or when the signal stops it: then the node serves as before. */
  async run(perS: number, sessions: () => number, signal: AbortSignal): Promise<Drained> {
    if (this.#isRunning || this.#isDone) throw nowhere('this node is being drained already')
    this.#isRunning = true
    const operations = await this.#check().catch((error: unknown) => {
      this.#isRunning = false
      throw error
    })
    const { log, shutDoors, sendAway, giveAway } = this.#parts
    try {
      log.info({ perS }, 'draining: nobody comes in, and the clients are sent to other nodes')
      await shutDoors()
      const clients = await sendAway(perS, () => operations.serverReferences(), signal)
      signal.throwIfAborted()
      const before = sessions()
      const sessionsLeft = await giveAway(signal)
      signal.throwIfAborted()
      const messagesLeft = await this.#lastMessages(operations, signal)
      const drained = { clients, sessions: before - sessionsLeft, sessionsLeft, messagesLeft }
      log.info(drained, 'drained')
      this.#isDone = true
      return drained
    } catch (error) {
      await this.#comeBack()
      if (!signal.aborted) throw error
      throw new OrioleError('ORI_DRAIN_STOPPED', 'the drain was stopped; the node serves again', { cause: error })
    } finally {
      this.#isRunning = false
    }
  }

  async #check(): Promise<ClusterOperations> {
    const { operations } = this.#parts
    if (operations === undefined) {
      throw nowhere('this broker is in no cluster: there is no node to send its clients to; stop it with SIGTERM')
    }
    // A node that has just left is not one to go to.
    await operations.lookAround()
    if (!operations.isRedisUp) throw nowhere('Redis is away: nothing can be handed over; try again when it is back')
    if (operations.nodes().live === 0) throw nowhere('no other node is alive; start one first, or stop this one')
    return operations
  }

  /** Of those that are alive. Resolves with how many are left when they took too long. */
  async #lastMessages(operations: ClusterOperations, signal: AbortSignal): Promise<number> {
    const endsAt = performance.now() + lastMessagesMs
    for (;;) {
      const left = operations.outboxes().reduce((sum, { messages, isLive }) => sum + (isLive ? messages : 0), 0)
      if (left === 0 || performance.now() > endsAt) return left
      await wait(lookEveryMs, undefined, { signal })
    }
  }

  async #comeBack(): Promise<void> {
    const { log, openDoors, stay } = this.#parts
    stay()
    try {
      await openDoors()
      log.info({}, 'the drain was stopped: this node serves again')
    } catch (error) {
      log.error({ error: errorText(error) }, 'a listener could not be opened again; restart this node')
    }
  }
}

function nowhere(why: string): OrioleError {
  return new OrioleError('ORI_DRAIN_NOWHERE', why)
}
