// What a change of the files of plugins came to, in words.
import { formatProblem, type Problem } from '../config/problem.ts'
import { OrioleError } from '../errors.ts'

export interface ChangeAnswer {
  readonly problems: readonly Problem[]
  readonly files: readonly string[]
  readonly changes: readonly string[]
}

/** Of another node of the cluster. */
export interface OtherNode {
  readonly node: string
  readonly outcome: ChangeAnswer | undefined
  readonly problem: string | undefined
}

/** One line for each node, and those below it that say what changed there. */
export function otherText({ node, outcome, problem }: OtherNode): string {
  if (outcome === undefined) return `node ${node}: not reloaded: ${problem}\n`
  const lines =
    outcome.problems.length > 0
      ? outcome.problems.map(formatProblem)
      : changeText(outcome, 'is in use', 'nothing changed').trimEnd().split('\n')
  return lines.map((line) => `node ${node}: ${line}\n`).join('')
}

/** A broken file: nothing was changed. */
export function throwProblems({ problems }: ChangeAnswer): void {
  if (problems.length === 0) return
  throw new OrioleError('ORI_CONFIG_INVALID', problems.map(formatProblem).join('\n'), { cause: problems })
}

export function changeText({ files, changes }: ChangeAnswer, changed: string, nothing: string): string {
  if (files.length === 0) return `${nothing}\n`
  const lines = changes.length === 0 ? ['nobody gains or loses a right'] : changes
  return [...files.map((file) => `${file} ${changed}`), ...lines].map((line) => `${line}\n`).join('')
}
