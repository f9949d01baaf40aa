// Topics and filters by enumeration, and what a filter matches by another way than the code under test.

/** All sequences of up to `max` of these levels. */
export function sequences(levels: readonly string[], max: number): string[] {
  let longest = levels.map((level) => [level])
  const all = [...longest]
  for (let length = 2; length <= max; length++) {
    longest = longest.flatMap((sequence) => levels.map((level) => [...sequence, level]))
    all.push(...longest)
  }
  return all.map((sequence) => sequence.join('/'))
}

/** MQTT 4.7 by the letter, and by another way than the code under test: a regular expression for each filter. */
export function matcherOf(filter: string): RegExp {
  const guard = /^[+#]/.test(filter) ? '(?!\\$)' : ''
  if (filter === '#') return new RegExp(`^${guard}.*$`)
  const escaped = filter.replace(/[$]/g, '\\$&')
  return new RegExp(`^${guard}${escaped.replace(/\/#$/, '(?:/.*)?').replaceAll('+', '[^/]*')}$`)
}
