// docs/benchmarks.md: the measured part between two marks is written from bench/results.json, the text around it by hand.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Machine } from './machine.ts'
import type { RowResult } from './measure.ts'
import { repository } from './places.ts'
import { sideText, targetText } from './report.ts'
import type { Row } from './row.ts'
import { rows } from './rows.ts'

const begin = '<!-- measured: begin (npm run bench -- --write) -->'
const end = '<!-- measured: end -->'

/** The last measurement of each row; `name@24.1.0` for one with another Node.js than the rest. */
type Results = Record<string, Measured>

interface Measured {
  readonly date: string
  readonly rounds: number
  readonly seconds: number
  readonly machine: Machine
  readonly sides: readonly { readonly name: string; readonly text: string }[]
  readonly targets: readonly { readonly reached: boolean | undefined; readonly text: string }[]
}

const resultsPath = join(repository, 'bench/results.json')
const pagePath = join(repository, 'docs/benchmarks.md')

export interface Measurement {
  readonly machine: Machine
  readonly rounds: number
  readonly seconds: number
  /** Measured with a Node.js that was asked for by name: shown in a table of its own. */
  readonly otherNode: boolean
}

/** Rows that were not measured now keep what they had. */
export async function writePage(results: readonly RowResult[], measurement: Measurement): Promise<void> {
  const known = JSON.parse(await readFile(resultsPath, 'utf8').catch(() => '{}')) as Results
  const { machine, rounds, seconds, otherNode } = measurement
  for (const result of results) {
    known[otherNode ? `${result.row.name}@${machine.node}` : result.row.name] = {
      date: new Date().toISOString().slice(0, 10),
      rounds: Math.min(rounds, result.row.roundsMax ?? rounds),
      seconds,
      machine,
      sides: result.sides.map((side) => ({ name: side.name, text: sideText(result.row, side) })),
      targets: result.targets.map((target) => ({ reached: target.reached, text: targetText(result, target) })),
    }
  }
  await writeFile(resultsPath, `${JSON.stringify(known, undefined, 2)}\n`)
  const page = await readFile(pagePath, 'utf8')
  const [before, rest] = page.split(begin)
  const after = rest?.split(end)[1]
  if (before === undefined || after === undefined)
    throw new Error(`${pagePath} has lost its mark "${begin}" or "${end}"`)
  await writeFile(pagePath, `${before}${begin}\n\n${measuredText(known)}\n${end}${after}`)
}

function measuredText(results: Results): string {
  const parts: string[] = []
  for (const issue of [4, 5, 6, 7] as const) {
    parts.push(`## Issue ${issue}\n`, tableOf(issue, results))
  }
  const others = otherNodes(results)
  if (others.length > 0) parts.push('## With another Node.js\n', table(others))
  parts.push('## Where\n', machineText(results))
  return parts.join('\n')
}

function tableOf(issue: Row['issue'], results: Results): string {
  return table(
    rows
      .filter((row) => row.issue === issue)
      .map((row): [string, Measured | undefined] => [`${row.work} (\`${row.name}\`)`, results[row.name]]),
  )
}

function otherNodes(results: Results): [string, Measured][] {
  return Object.entries(results)
    .filter(([key]) => key.includes('@'))
    .map(([key, measured]) => [key.replace('@', ', '), measured])
}

function table(lines: readonly (readonly [string, Measured | undefined])[]): string {
  const text = lines.map(([work, measured]) => {
    if (measured === undefined) return `| ${work} | not measured | |`
    const sides = measured.sides.map(({ name, text: shown }) => `${name}: ${shown}`).join('<br>')
    const targets = measured.targets.map((target) => target.text.replace(/\s+/g, ' ')).join('<br>')
    return `| ${work} | ${sides} | ${targets} |`
  })
  return `| work | measured | target |\n|---|---|---|\n${text.join('\n')}\n`
}

function machineText(results: Results): string {
  const groups = new Map<string, string[]>()
  for (const [name, { date, rounds, seconds, machine }] of Object.entries(results)) {
    const pinned = machine.pinned ? 'broker on core 0, load on core 1' : 'nothing pinned'
    const where = [
      `${machine.processor}, ${machine.memory}, ${machine.kernel}`,
      `Node.js ${machine.node}, ${machine.mosquitto}, aedes 1.2.0, ${machine.compiler}`,
      `${date}, ${pinned}, ${rounds} ${rounds === 1 ? 'round' : 'rounds'} of ${seconds} s`,
    ].join('; ')
    groups.set(where, [...(groups.get(where) ?? []), name])
  }
  return [...groups].map(([where, names]) => `- ${where}: ${names.map((name) => `\`${name}\``).join(', ')}`).join('\n')
}
