// Group commit: writes collect in a batch; while one batch is on its way to the disk, the next one collects.
import type { Operation } from './database.ts'
import type { KeyRange } from './keys.ts'

export type Durability = 'disk' | 'os' | 'memory'
export type Done = (error: Error | undefined) => void

/** State is what is wanted whatever happens: a session, a subscription. `range` deletes all keys there are in it. */
export type StateOperation = Operation | { readonly type: 'range'; readonly range: KeyRange }

export interface Batch {
  /** Messages of the log: not wanted any more when the batch fails, because nobody was told that they are stored. */
  readonly messages: (Operation & { type: 'put' })[]
  /** Not wanted any more either: they speak of the messages. */
  readonly marks: Map<string, Operation>
  /** Written again after a failure. */
  readonly state: StateOperation[]
  /** The lowest sequence number among the messages. */
  firstSequence: number | undefined
  /** The streams that hold one of the messages. */
  readonly streams: Set<string>
  /** Large retained messages: their payloads leave the memory when the batch is on disk. */
  readonly large: { readonly topic: string; readonly record: Buffer }[]
  /** The topics of those that a retention rule keeps. */
  readonly conversations: Set<string>
  readonly done: Done[]
}

export interface CommitOptions {
  readonly durability: Durability
  /** Adds what may wait for any batch that is due. `idle`: nobody waits for this one. */
  collect(batch: Batch, idle: boolean): void
  write(operations: readonly Operation[], sync: boolean): Promise<void>
  /** The keys in these ranges, on disk. */
  keys(range: KeyRange): Promise<Buffer[]>
  written(batch: Batch): void
  /** None of these was stored. Called before the callbacks. */
  failed(batches: readonly Batch[], error: Error): void
  /** How long it took and how many records it was. */
  onCommit?: ((seconds: number, records: number) => void) | undefined
}

/** Without anyone who waits, writes go out this much later, and without fsync. */
const idleMs = 200

/**
 * `durability: memory` answers while the disk still works; with more records than this behind it, it waits after all,
 * so that a slow disk cannot fill the memory.
 */
const memoryRecordsMax = 100_000

export class GroupCommit {
  readonly #options: CommitOptions
  #pending = newBatch()
  #writing = false
  #scheduled = false
  #idleTimer: NodeJS.Timeout | undefined
  #failure: Error | undefined
  #whenQuiet: (() => void)[] = []

  constructor(options: CommitOptions) {
    this.#options = options
  }

  /** The batch that collects now. Call `touch` or `commit` after adding to it. */
  get pending(): Batch {
    return this.#pending
  }

  get failure(): Error | undefined {
    return this.#failure
  }

  /** Something waits that nobody was promised: write it soon. */
  touch(): void {
    if (this.#idleTimer !== undefined || this.#scheduled || this.#failure !== undefined) return
    this.#idleTimer = setTimeout(() => {
      this.#idleTimer = undefined
      this.#start()
    }, idleMs)
    this.#idleTimer.unref()
  }

  /** All writes of one turn of the loop share a batch: it starts when the sockets of this turn are read. */
  commit(done: Done): void {
    this.#pending.done.push(done)
    this.#schedule()
  }

  /** Resolves when everything is written, or nothing can be: also what `durability: memory` has reported already. */
  async drain(): Promise<void> {
    while (this.#writing || (recordsOf(this.#pending) > 0 && this.#failure === undefined)) {
      if (!this.#writing) this.#start()
      await new Promise<void>((resolve) => this.#whenQuiet.push(resolve))
    }
  }

  /** Takes the wanted state out of a store that cannot write, to be written by whoever repairs it. */
  takeState(): StateOperation[] {
    const { state } = this.#pending
    return state.splice(0)
  }

  /** Puts it back before what came since. */
  returnState(state: readonly StateOperation[]): void {
    const since = this.takeState()
    for (const operation of state) this.#pending.state.push(operation)
    for (const operation of since) this.#pending.state.push(operation)
  }

  /** Storage works again. A batch that began before fails nevertheless: some of its writes were not taken. */
  recovered(): void {
    const { done } = this.#pending
    const error = this.#failure
    this.#failure = undefined
    answer(done.splice(0), error)
    if (this.#pending.state.length > 0) this.touch()
  }

  stop(): void {
    clearTimeout(this.#idleTimer)
    this.#idleTimer = undefined
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#start()
    })
  }

  #start(): void {
    if (this.#failure !== undefined) {
      answer(this.#pending.done.splice(0), this.#failure)
      return
    }
    if (this.#writing) {
      if (this.#options.durability === 'memory' && recordsOf(this.#pending) < memoryRecordsMax) {
        answer(this.#pending.done.splice(0), undefined)
      }
      return
    }
    const batch = this.#pending
    this.#options.collect(batch, batch.done.length === 0)
    this.#pending = newBatch()
    clearTimeout(this.#idleTimer)
    this.#idleTimer = undefined
    this.#writing = true
    void this.#write(batch)
  }

  async #write(batch: Batch): Promise<void> {
    const sync = this.#options.durability === 'disk' && batch.done.length > 0
    if (this.#options.durability === 'memory') {
      const early = batch.done.splice(0)
      queueMicrotask(() => answer(early, undefined))
    }
    const startedAt = performance.now()
    let records = 0
    try {
      const operations = await expand(batch, this.#options.keys)
      records = operations.length
      if (records > 0) await this.#options.write(operations, sync)
    } catch (error) {
      this.#finishWriting()
      this.#fail(batch, error instanceof Error ? error : new Error(String(error)))
      return
    }
    this.#finishWriting()
    this.#options.onCommit?.((performance.now() - startedAt) / 1000, records)
    this.#options.written(batch)
    answer(batch.done, undefined)
    if (this.#pending.done.length > 0) this.#schedule()
    else if (recordsOf(this.#pending) > 0) this.touch()
  }

  #finishWriting(): void {
    this.#writing = false
    for (const resolve of this.#whenQuiet.splice(0)) resolve()
  }

  #fail(batch: Batch, cause: Error): void {
    const waiting = this.#pending
    this.#pending = newBatch()
    // What is still wanted, in the order of the calls; and the failed messages must not come back from a torn log.
    for (const { key } of batch.messages) this.#pending.state.push({ type: 'del', key })
    for (const operation of batch.state) this.#pending.state.push(operation)
    for (const operation of waiting.state) this.#pending.state.push(operation)
    this.#failure = cause
    this.#options.failed([batch, waiting], cause)
    answer(batch.done, cause)
    answer(waiting.done, cause)
  }
}

function newBatch(): Batch {
  return {
    messages: [],
    marks: new Map(),
    state: [],
    firstSequence: undefined,
    streams: new Set(),
    conversations: new Set(),
    large: [],
    done: [],
  }
}

function recordsOf(batch: Batch): number {
  return batch.messages.length + batch.marks.size + batch.state.length
}

function answer(done: readonly Done[], error: Error | undefined): void {
  for (const callback of done) callback(error)
}

/** Turns ranges into deletes of what is on disk and of what the same batch put there before. */
async function expand(batch: Batch, keys: CommitOptions['keys']): Promise<Operation[]> {
  const operations: Operation[] = [...batch.messages, ...batch.marks.values()]
  if (!batch.state.some(({ type }) => type === 'range')) return operations.concat(batch.state as Operation[])
  return operations.concat(await expandRanges(batch.state, keys))
}

export async function expandRanges(
  state: readonly StateOperation[],
  keys: CommitOptions['keys'],
): Promise<Operation[]> {
  const expanded: Operation[] = []
  const putBefore = new Map<string, Buffer[]>()
  for (const operation of state) {
    if (operation.type !== 'range') {
      expanded.push(operation)
      remember(putBefore, operation.key)
      continue
    }
    const prefix = operation.range.gte.toString('latin1')
    const found = await keys(operation.range)
    for (const key of found.concat(putBefore.get(prefix) ?? [])) expanded.push({ type: 'del', key })
    putBefore.delete(prefix)
  }
  return expanded
}

/** Ranges are the keys of one session: what they have in common ends with U+0000. */
function remember(putBefore: Map<string, Buffer[]>, key: Buffer): void {
  if (key[0] !== 0x73) return
  const end = key.indexOf(0, 1)
  const prefix = key.toString('latin1', 0, end + 1)
  const list = putBefore.get(prefix)
  if (list === undefined) putBefore.set(prefix, [key])
  else list.push(key)
}
