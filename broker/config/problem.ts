// One mistake in a file that a person wrote, and where it stands.

export interface Problem {
  /** As the reader was given it. */
  readonly file: string
  /** From 1. */
  readonly line: number
  /** From 1. */
  readonly column: number
  /** What is wrong and the way out, on one line. */
  readonly message: string
}

/** `file:line:column: message`, the form that editors and terminals make clickable. */
export function formatProblem(problem: Problem): string {
  return `${problem.file}:${problem.line}:${problem.column}: ${problem.message}`
}

/** For sorting: by file as they came, then by place. */
export function comparePlaces(a: Problem, b: Problem): number {
  return a.line - b.line || a.column - b.column
}

/** A text of somebody else in a message of ours: one line, and nothing that a terminal obeys or an eye misses. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  )
}
