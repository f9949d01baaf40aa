// What a change of the files of plugins came to, in words.
import { formatProblem, type Problem } from '../config/problem.ts'
import { OrioleError } from '../errors.ts'

export interface ChangeAnswer {
  readonly problems: readonly Problem[]
  readonly files: readonly string[]
  readonly changes: readonly string[]
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
