// JSON in which no name stands twice: whoever reads the first and whoever reads the last must not read different things.

/** The value, or undefined when the text is no JSON or has an object with a name twice. */
export function parseStrictJson(text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // Not a mistake of ours: the text came from outside, and undefined says what it is.
    return undefined
  }
  return hasNameTwice(text) ? undefined : value
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Of a text that is JSON. */
function hasNameTwice(text: string): boolean {
  /** The names of each open object; undefined for a list. */
  const open: (Set<string> | undefined)[] = []
  const token = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/g
  for (const [found, colon] of text.matchAll(token)) {
    if (found === '{') open.push(new Set())
    else if (found === '[') open.push(undefined)
    else if (found === '}' || found === ']') open.pop()
    else if (colon !== undefined) {
      const names = open.at(-1)!
      const name = JSON.parse(found.slice(0, -colon.length)) as string
      if (names.has(name)) return true
      names.add(name)
    }
  }
  return false
}
