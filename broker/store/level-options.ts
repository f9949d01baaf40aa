// What the level store is made with.
import type { PluginLog } from '../plugin.ts'
import type { Durability } from './commit.ts'
import type { TakenAway } from './disk-cap.ts'
import type { HistoryRule, StoreLimits } from './store.ts'

export interface LevelStoreOptions {
  /** The data folder. */
  readonly path: string
  /**
   * `disk`: a commit is on disk (fsync) when it is reported. `os`: it is with the operating system; a power cut loses
   * what that has not written yet, as a rule the last 30 s. `memory`: a commit is reported while it is being written;
   * the end of the process loses the last batches, as a rule a few milliseconds, at most 100,000 records.
   */
  readonly durability: Durability
  readonly limits: StoreLimits
  /** What is kept longer than queues need it; none: nothing. */
  readonly history?: readonly HistoryRule[] | undefined
  /** Of the whole database; 0 or none: no cap. */
  readonly diskMaxBytes?: number | undefined
  /** What the cap took away. */
  readonly onTaken?: ((taken: TakenAway) => void) | undefined
  readonly log: PluginLog
  readonly onCommit?: ((seconds: number, records: number) => void) | undefined
  readonly now?: (() => number) | undefined
}
