// Measures one row: its sides in turn, round after round, so that what the machine does to one it does to all.
import { Unavailable } from './programs.ts'
import type { Bench, Figure, Row, Sample, Target } from './row.ts'
import { scoped } from './scope.ts'

export interface Spread {
  readonly median: number
  readonly least: number
  readonly most: number
}

export interface SideResult {
  readonly name: string
  readonly samples: readonly Sample[]
  /** Why it could not be measured. */
  readonly unavailable: string | undefined
}

export interface TargetResult {
  readonly target: Target
  /** The ratio of each round, or the figure; undefined: one of its sides was not measured. */
  readonly measured: Spread | undefined
  readonly reached: boolean | undefined
}

export interface RowResult {
  readonly row: Row
  readonly sides: readonly SideResult[]
  readonly targets: readonly TargetResult[]
}

export interface Progress {
  sample(row: Row, side: string, round: number, sample: Sample): void
  skipped(row: Row, side: string, reason: string): void
}

export async function measureRow(bench: Bench, row: Row, rounds: number, progress: Progress): Promise<RowResult> {
  const all = bench.profiles === undefined ? row.sides : row.sides.filter(({ peer }) => peer !== true)
  const samples = new Map<string, Sample[]>(all.map(({ name }) => [name, []]))
  const unavailable = new Map<string, string>()
  for (let round = 1; round <= Math.min(rounds, row.roundsMax ?? rounds); round += 1) {
    for (const side of all) {
      if (unavailable.has(side.name)) continue
      try {
        const sample = await scoped((scope) => side.measure(bench, scope))
        samples.get(side.name)!.push(sample)
        progress.sample(row, side.name, round, sample)
      } catch (error) {
        // A peer that breaks under the load is a result too; our own failure is ours.
        if (!(error instanceof Unavailable) && side.peer !== true) throw error
        const reason = error instanceof Error ? error.message : String(error)
        unavailable.set(side.name, reason)
        progress.skipped(row, side.name, reason)
      }
    }
  }
  const sides = all.map(({ name }) => ({
    name,
    samples: samples.get(name)!,
    unavailable: unavailable.get(name),
  }))
  return { row, sides, targets: row.targets.map((target) => judge(row, target, samples)) }
}

function judge(row: Row, target: Target, samples: ReadonlyMap<string, readonly Sample[]>): TargetResult {
  const of = valuesOf(samples.get(target.of), figureOf(row, target))
  if (of.length === 0) return { target, measured: undefined, reached: undefined }
  if (target.kind === 'atLeast' || target.kind === 'atMost') {
    const measured = spreadOf(of)
    const reached = target.kind === 'atLeast' ? measured.median >= target.value : measured.median <= target.value
    return { target, measured, reached }
  }
  const to = valuesOf(samples.get(target.to), row.figure)
  const both = Math.min(of.length, to.length)
  if (both === 0) return { target, measured: undefined, reached: undefined }
  const measured = spreadOf(of.slice(0, both).map((value, round) => value / to[round]!))
  const reached = target.kind === 'ratio' ? measured.median >= target.atLeast : measured.median < 1
  return { target, measured, reached }
}

export function figureOf(row: Row, target: Target): Figure {
  return 'figure' in target && target.figure !== undefined ? target.figure : row.figure
}

export function valuesOf(samples: readonly Sample[] | undefined, figure: Figure): number[] {
  return (samples ?? []).map(({ figures }) => figures[figure]).filter((value) => value !== undefined)
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((one, other) => one - other)
  const middle = Math.floor(sorted.length / 2)
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  return { median, least: sorted[0]!, most: sorted.at(-1)! }
}

/** The generator had no more to give while the broker had: the figure says little about the broker. */
export function generatorWasBusy({ brokerShare = 1, generatorShare = 0 }: Sample): boolean {
  return generatorShare > 0.95 && brokerShare < generatorShare - 0.03
}

/** Others on the machine took part of the time: figures of a second mean little then, CPU time for each message more. */
export function wasDisturbed({ othersShare = 0 }: Sample): boolean {
  return othersShare > 0.1
}
