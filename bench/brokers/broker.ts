// What the bench knows of a broker: how it is started, where it listens, how it ends.
import type { Bench } from '../row.ts'
import type { Scope } from '../scope.ts'

export interface RunningBroker {
  readonly pid: number
  /** Plain TCP on 127.0.0.1. */
  readonly port: number
  readonly webSocketPort?: number
  readonly tlsPort?: number
  /** From the start of the process until it said that it is ready. */
  readonly startedInS?: number
  /** Where its data lies, if it keeps any. */
  readonly dataFolder?: string
  /** Where the load runs, when it has no core of its own. */
  readonly loadCores?: string
  /** Of a broker that has a garbage collector. */
  readonly collectGarbage?: () => Promise<void>
  /** In order, so that what it writes at its end is written. */
  stop(): Promise<void>
}

export interface BrokerOptions {
  /** Settings of Oriole's `limits`, beside those that every row has. */
  readonly limits?: Readonly<Record<string, number>>
  /** What else stands in the files of users, groups and rules; without it 51 users and the shipped rules. */
  readonly access?: 'one rule' | 'a large company'
  /** An existing data folder; without it a new one, gone with the scope. */
  readonly dataFolder?: string
  /** A node of a cluster that meets at this Redis. */
  readonly cluster?: { readonly node: string; readonly redisPort: number }
  /** On all cores that the bench uses, behind one port; they meet at this Redis. */
  readonly workers?: { readonly count: number; readonly redisPort: number }
}

/** Starts a fresh one; it ends with the scope. */
export type StartBroker = (bench: Bench, scope: Scope, options?: BrokerOptions) => Promise<RunningBroker>

/** Logins beside `bench`, for the row that counts connects. */
export const userCount = 50

export const usernames: readonly string[] = ['bench', ...Array.from({ length: userCount }, (_, n) => `user${n}`)]
