// The contract of a row of the tables: who is measured, by which figure, and what was asked for.
import type { Generator } from './generator.ts'
import type { Scope } from './scope.ts'

/** Every figure that a target may look at, with its unit. */
export type Figure =
  | 'deliveredPerS'
  | 'acknowledgedPerS'
  | 'connectsPerS'
  | 'publishedInAll'
  | 'p50Us'
  | 'p99Us'
  | 'p999Us'
  | 'maxMs'
  | 'bytesEach'
  | 'exactUs'
  | 'startS'
  | 'peakMB'
  | 'residentMB'
  | 'redisCommandsEach'
  | 'redisUsEach'
  | 'loadShare'

/** One measurement of one side. */
export interface Sample {
  readonly figures: Readonly<Partial<Record<Figure, number>>>
  /** CPU time of the broker for each message or connect: what noise on the machine changes least. */
  readonly cpuUsEach?: number
  /** Of one core, 0 to 1. */
  readonly brokerShare?: number
  readonly generatorShare?: number
  /** What other processes took of the busier of the two cores: above some percent the figure is disturbed. */
  readonly othersShare?: number
}

export interface Side {
  readonly name: string
  /** Not Oriole: what it breaks at is a result, and it is not profiled. */
  readonly peer?: boolean
  /** Starts what it needs and stops it again. Throws Unavailable when this machine has no means for it. */
  measure(bench: Bench, scope: Scope): Promise<Sample>
}

export type Target =
  /** The figure of `of` is at least this many times that of `to`. */
  | { readonly kind: 'ratio'; readonly of: string; readonly to: string; readonly atLeast: number }
  /** The figure of `of` is below that of `to`. */
  | { readonly kind: 'below'; readonly of: string; readonly to: string }
  | { readonly kind: 'atLeast'; readonly of: string; readonly value: number; readonly figure?: Figure }
  | { readonly kind: 'atMost'; readonly of: string; readonly value: number; readonly figure?: Figure }

export interface Row {
  /** For `--only`. */
  readonly name: string
  readonly issue: 4 | 5 | 6 | 7
  /** As it stands in the issue's table. */
  readonly work: string
  readonly figure: Figure
  /** Shown beside it. */
  readonly alsoShown?: readonly Figure[]
  readonly sides: readonly Side[]
  readonly targets: readonly Target[]
  /** Fewer than asked for, where one round takes long and hardly varies. */
  readonly roundsMax?: number
}

/** What every side is given. */
export interface Bench {
  readonly generator: Generator
  readonly seconds: number
  /** The program `node` that runs Oriole and the peers written in JavaScript. */
  readonly node: string
  /** Folder for CPU profiles of Oriole; undefined: none are wanted. */
  readonly profiles: string | undefined
  /** Makes a thing at the first call, and gives the same one at the next; kept until the bench ends. */
  once<T>(key: string, make: (scope: Scope) => Promise<T>): Promise<T>
}
