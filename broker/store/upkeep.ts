// What the store does beside its work: drops what is too old, gives disk space back, keeps the cap on the disk.
import type { PluginLog } from '../plugin.ts'
import type { Background } from './background.ts'
import { Compaction } from './compaction.ts'
import type { Database } from './database.ts'
import { DiskCap, type TakenAway } from './disk-cap.ts'
import type { RecoveryPlaces } from './recover.ts'
import { everyInterval, type SweepWork, sweepNow } from './sweep.ts'

/** About what a session with a few subscriptions takes. */
const sessionBytes = 512

export interface UpkeepHouse {
  readonly places: RecoveryPlaces
  readonly background: Background
  readonly diskMaxBytes: number
  readonly log: PluginLog
  readonly lastSequence: () => number
  /** Removes the retained message of a topic that has expired. */
  readonly dropRetained: (topic: string) => void
  /** Something waits to be written. */
  readonly touch: () => void
  readonly onTaken: (taken: TakenAway) => void
}

export class Upkeep {
  readonly #house: UpkeepHouse
  readonly #compaction: Compaction
  readonly #cap: DiskCap
  /** The cap asks for space: it comes when what is to be deleted is deleted. */
  #isUrgent = false
  #stopSweep: (() => void) | undefined

  /** `path`: the folder of the database. */
  constructor(path: string, database: () => Database, house: UpkeepHouse) {
    this.#house = house
    this.#compaction = new Compaction(database, house.log)
    this.#cap = new DiskCap(path, {
      ...house.places,
      maxBytes: house.diskMaxBytes,
      log: house.log,
      garbageBytes: () => this.#compaction.garbageBytes,
      isCompacting: () => this.#compaction.isRunning,
      compact: () => {
        this.#isUrgent = true
        house.touch()
      },
      onTaken: house.onTaken,
    })
  }

  /** `unneeded`: messages that the last run was to delete. */
  start(unneeded: readonly number[], unneededBytes: number): void {
    for (const sequence of unneeded) this.#compaction.deletedMessage(sequence, unneededBytes / unneeded.length)
    this.#stopSweep = everyInterval(this.#house.places, this.#sweepWork())
    this.#cap.start()
  }

  /** What else happens once a minute. */
  sweepNow(): Promise<void> {
    return sweepNow(this.#house.places, this.#sweepWork())
  }

  stopTimers(): void {
    this.#stopSweep?.()
  }

  /** Resolves when nothing of it uses the database. */
  async stop(): Promise<void> {
    await this.#cap.stop()
    await this.#compaction.stop()
  }

  get isFull(): boolean {
    return this.#cap.isFull
  }

  /** A message was written, or a retained one. */
  appended(bytes: number): void {
    this.#cap.wrote(bytes)
  }

  /** Nobody holds this message any more. */
  released(sequence: number, bytes: number): void {
    this.#compaction.deletedMessage(sequence, bytes)
    this.#cap.released(bytes)
  }

  sessionDeleted(): void {
    this.#compaction.deleted('sessions', sessionBytes)
  }

  retainedDeleted(bytes: number): void {
    this.#compaction.deleted('retained', bytes)
  }

  /** A batch is on disk. */
  written(): void {
    if (this.#house.background.hasMore) this.#house.touch()
    else {
      this.#compaction.consider(this.#isUrgent)
      this.#isUrgent = false
    }
  }

  /** No message below this sequence number is left: stream records that speak of nothing else are deleted, in steps. */
  *#forgetBelow(firstSequence: number): IterableIterator<undefined> {
    yield* this.#house.background.forgetStreams(firstSequence)
    if (this.#house.background.hasMore) this.#house.touch()
  }

  #sweepWork(): SweepWork {
    const { lastSequence, dropRetained } = this.#house
    return {
      get lastSequence() {
        return lastSequence()
      },
      dropRetained,
      forgetBelow: (first) => this.#forgetBelow(first),
    }
  }
}
