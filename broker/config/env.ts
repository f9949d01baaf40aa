// `${NAME}` and `${NAME:-default}` in the text values of a config file.

export type Environment = Readonly<Record<string, string | undefined>>

export interface Expanded {
  readonly text: string
  /** What stands in the way, for a person; empty when all is well. */
  readonly mistakes: readonly string[]
  /** The whole text was one `${…}`: its value may be a number or a truth value. */
  readonly whole: boolean
}

// `$${` is a literal `${`; everything between the braces is taken, so that a wrong name is seen and not passed on.
const reference = /\$\$\{|\$\{([^{}\n]*)\}/g
const name = /^[A-Za-z_][A-Za-z0-9_]*$/

/** An empty variable counts as set for `${NAME}` and as unset for `${NAME:-default}`, as in a shell. */
export function expandEnvironment(text: string, env: Environment): Expanded {
  if (!text.includes('${')) return { text, mistakes: [], whole: false }
  const mistakes: string[] = []
  const whole = /^\$\{[^{}\n]*\}$/.test(text)
  const expanded = text.replace(reference, (match, inside: string | undefined) => {
    if (inside === undefined) return '${'
    const at = inside.indexOf(':-')
    const variable = at < 0 ? inside : inside.slice(0, at)
    if (!name.test(variable)) {
      mistakes.push(
        `"${match}" is not an environment variable; write \${NAME}, \${NAME:-default}, or $\${ for the text`,
      )
      return match
    }
    const value = env[variable]
    if (at >= 0) return value === undefined || value === '' ? inside.slice(at + 2) : value
    if (value !== undefined) return value
    mistakes.push(`the environment variable ${variable} is not set; set it, or write \${${variable}:-default}`)
    return match
  })
  return { text: expanded, mistakes, whole }
}
