// `--profile`: where the time of the broker went, from the CPU profiles that node wrote when it ended.
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** What `node --cpu-prof` writes; times in microseconds. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

const shownFunctions = 30

/**
 * The functions with the most time of their own, in percent of the time in which the main thread was busy, in the last
 * `seconds` of each profile; the profiles are removed.
 */
export async function profileText(folder: string, seconds: number): Promise<string> {
  const lines: string[] = []
  for (const name of (await readdir(folder)).filter((file) => file.endsWith('.cpuprofile')).sort()) {
    const profile = JSON.parse(await readFile(join(folder, name), 'utf8')) as CpuProfile
    lines.push(...topOf(profile, seconds), '')
    await rm(join(folder, name))
  }
  return lines.join('\n')
}

function topOf({ nodes, samples, timeDeltas }: CpuProfile, seconds: number): string[] {
  const places = new Map(nodes.map(({ id, callFrame }) => [id, placeOf(callFrame)]))
  const times = new Map<string, number>()
  let [total, busy] = [0, 0]
  // From the end: what comes first is the start of the broker.
  for (let index = samples.length - 1; index >= 0 && total < seconds * 1e6; index -= 1) {
    const place = places.get(samples[index]!) ?? '(unknown)'
    const delta = Math.max(0, timeDeltas[index] ?? 0)
    times.set(place, (times.get(place) ?? 0) + delta)
    total += delta
    if (place !== '(idle)') busy += delta
  }
  times.delete('(idle)')
  const lines = [...times]
    .sort(([, one], [, other]) => other - one)
    .slice(0, shownFunctions)
    .map(([place, time]) => `  ${((time / busy) * 100).toFixed(1).padStart(5)} %  ${place}`)
  return [`  busy ${((busy / total) * 100).toFixed(0)} % of ${(total / 1e6).toFixed(1)} s`, ...lines]
}

function placeOf(callFrame: CpuProfile['nodes'][number]['callFrame']): string {
  const { functionName, url, lineNumber } = callFrame
  const name = functionName === '' ? '(anonymous)' : functionName
  if (url === '') return name
  const file = url.replace(/^.*\/(dist|node_modules)\//, '').replace(/^file:\/\//, '')
  return `${name}  ${file}:${lineNumber + 1}`
}
