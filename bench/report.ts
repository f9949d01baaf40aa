// How figures look: on the terminal while it runs, and in docs/benchmarks.md.
import {
  figureOf,
  generatorWasBusy,
  type RowResult,
  type SideResult,
  type Spread,
  spreadOf,
  type TargetResult,
  valuesOf,
  wasDisturbed,
} from './measure.ts'
import type { Figure, Row, Sample, Target } from './row.ts'

const units: Readonly<Record<Figure, string>> = {
  deliveredPerS: 'delivered/s',
  acknowledgedPerS: 'PUBACKs/s',
  connectsPerS: 'connects/s',
  publishedInAll: 'messages',
  p50Us: 'µs p50',
  p99Us: 'µs p99',
  p999Us: 'µs p99.9',
  maxMs: 'ms at most',
  bytesEach: 'bytes each',
  exactUs: 'µs of broker time for one SUBSCRIBE',
  startS: 's to start',
  peakMB: 'MB resident at most',
  residentMB: 'MB resident',
  redisCommandsEach: 'commands of Redis for each publish',
  redisUsEach: 'µs of Redis for each publish',
  loadShare: '% of a core for the load',
}

export function sampleText(row: Row, side: string, round: number, sample: Sample): string {
  return `  round ${round}  ${side.padEnd(26)} ${figuresText(row, sample)}`
}

function figuresText(row: Row, sample: Sample): string {
  const figures = [row.figure, ...(row.alsoShown ?? [])]
    .filter((figure) => sample.figures[figure] !== undefined)
    .map((figure) => `${shown(sample.figures[figure]!)} ${units[figure]}`)
  return [...figures, ...costText(sample)].join(', ')
}

function costText(sample: Sample): string[] {
  const { cpuUsEach, brokerShare, generatorShare } = sample
  const parts: string[] = []
  if (cpuUsEach !== undefined && Number.isFinite(cpuUsEach)) parts.push(`${shown(cpuUsEach)} µs CPU each`)
  if (brokerShare !== undefined && generatorShare !== undefined)
    parts.push(`broker ${percent(brokerShare)}, generator ${percent(generatorShare)}`)
  if (wasDisturbed(sample)) parts.push(`OTHERS TOOK ${percent(sample.othersShare ?? 0)} OF A CORE`)
  if (generatorWasBusy(sample)) parts.push('THE GENERATOR WAS THE BOTTLENECK')
  return parts
}

export function rowText(result: RowResult): string {
  const lines = [`${result.row.name}: ${result.row.work}`]
  for (const side of result.sides) lines.push(`  ${side.name.padEnd(26)} ${sideText(result.row, side)}`)
  for (const target of result.targets) lines.push(`  ${targetText(result, target)}`)
  return `${lines.join('\n')}\n`
}

export function sideText(row: Row, side: SideResult): string {
  if (side.samples.length === 0) return `not measured: ${side.unavailable ?? 'no reason'}`
  const values = valuesOf(side.samples, row.figure)
  const cpu = side.samples.map(({ cpuUsEach }) => cpuUsEach).filter((value) => value !== undefined)
  const busy = side.samples.some(generatorWasBusy) ? ' (the generator was the bottleneck)' : ''
  const disturbed = side.samples.some(wasDisturbed) ? ' (disturbed by other processes)' : ''
  const cost = cpu.length === 0 ? '' : `; ${shown(spreadOf(cpu).median)} µs CPU each`
  return `${spreadText(spreadOf(values))} ${units[row.figure]}${cost}${busy}${disturbed}`
}

export function targetText(result: RowResult, { target, measured, reached }: TargetResult): string {
  const mark = reached === undefined ? '?' : reached ? 'hit' : 'MISSED'
  const value = measured === undefined ? 'not measured' : spreadText(measured)
  return `${mark.padEnd(7)} ${target.of}: ${value}${target.kind === 'ratio' || target.kind === 'below' ? ` x ${target.to}` : ` ${units[figureOf(result.row, target)]}`}; wanted ${wantedText(target)}${cpuRatioText(result, target)}${doubtText(result, target)}`
}

export function wantedText(target: Target): string {
  switch (target.kind) {
    case 'ratio':
      return `${shown(target.atLeast)} x`
    case 'below':
      return 'below 1 x'
    case 'atLeast':
      return `at least ${shown(target.value)}`
    case 'atMost':
      return `at most ${shown(target.value)}`
  }
}

/** The same ratio by CPU time for each message: noise of the machine hardly touches it. */
function cpuRatioText({ sides }: RowResult, target: Target): string {
  if (target.kind !== 'ratio') return ''
  const [of, to] = [target.of, target.to].map((name) => {
    const values = (sides.find((side) => side.name === name)?.samples ?? []).map(({ cpuUsEach }) => cpuUsEach)
    const known = values.filter((value) => value !== undefined && Number.isFinite(value)) as number[]
    return known.length === 0 ? undefined : spreadOf(known).median
  })
  return of === undefined || to === undefined || of === 0 ? '' : ` (by CPU time ${shown(to / of)} x)`
}

/** A verdict from a busy machine is none. */
function doubtText({ sides }: RowResult, target: Target): string {
  const names = 'to' in target ? [target.of, target.to] : [target.of]
  const disturbed = sides.some((side) => names.includes(side.name) && side.samples.some(wasDisturbed))
  return disturbed ? ' [disturbed by other processes: measure again]' : ''
}

export function spreadText({ median, least, most }: Spread): string {
  return least === most ? shown(median) : `${shown(median)} (${shown(least)} … ${shown(most)})`
}

export function shown(value: number): string {
  const digits = Math.abs(value) >= 1000 ? 0 : Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toLocaleString('en-US', { maximumFractionDigits: digits })
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`
}
