// What a schema says against a value, in words for the person who wrote it and with the part of it that is meant.
import type { z } from 'zod'
import { didYouMean, nearest } from './nearest.ts'
import type { Part } from './yaml-document.ts'

export interface SchemaProblem {
  readonly path: readonly PropertyKey[]
  readonly part: Part
  readonly message: string
}

export type Checked<T> =
  | { readonly value: T; readonly problems: readonly [] }
  | { readonly value: undefined; readonly problems: readonly SchemaProblem[] }

type Issue = z.core.$ZodIssue
type RawIssue = z.core.$ZodRawIssue
type Path = readonly PropertyKey[]

export function checkValue<T>(schema: z.ZodType<T>, value: unknown): Checked<T> {
  const result = schema.safeParse(value, { error: message })
  if (result.success) return { value: result.data, problems: [] }
  const problems = result.error.issues.flatMap((issue) => explain(issue, [], schema, value))
  return { value: undefined, problems: withoutEchoes(problems).map(named) }
}

/** As `checkValue` of a list or a map does with the part of it that stands at `place`. */
export function checkElement<T>(schema: z.ZodType<T>, value: unknown, place: PropertyKey): Checked<T> {
  const result = schema.safeParse(value, { error: message })
  if (result.success) return { value: result.data, problems: [] }
  const problems = result.error.issues.flatMap((issue) => explain(issue, [place], schema, value))
  return { value: undefined, problems: withoutEchoes(problems).map(named) }
}

/** As `checkValue` of a map does with one of its keys. */
export function checkKey(schema: z.ZodType, key: string): readonly SchemaProblem[] {
  const issues = schema.safeParse(key, { error: message }).error?.issues ?? []
  return issues.map((issue) => named({ path: [key], part: 'key', message: `as a name: ${issue.message}` }))
}

/** Words for one issue; a message that the schema itself carries wins over these. */
function message(issue: RawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      if (issue.input === undefined) return 'is missing'
      if (issue.expected === 'int' && typeof issue.input === 'number') return 'must be a whole number'
      return `must be ${kindNames[issue.expected] ?? issue.expected}, not ${kindOf(issue.input)}`
    case 'invalid_value': {
      const values = issue.values.map(String)
      if (issue.input === undefined) return `is missing: ${oneOf(values)}`
      const guess = typeof issue.input === 'string' ? didYouMean(issue.input, values) : ''
      return `must be ${oneOf(values)}${guess}`
    }
    case 'too_small':
      return `must ${sizeVerb(issue.origin)} at least ${issue.minimum}${sizeUnit(issue.origin, issue.minimum)}`
    case 'too_big':
      return `must ${sizeVerb(issue.origin)} at most ${issue.maximum}${sizeUnit(issue.origin, issue.maximum)}`
    case 'invalid_format':
      if (issue.format === 'starts_with') return `must start with "${issue.prefix}"`
      return undefined
    default:
      return undefined
  }
}

function explain(issue: Issue, prefix: Path, schema: z.core.$ZodType, value: unknown): (SchemaProblem & Guess)[] {
  const path = [...prefix, ...issue.path]
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, issue.path, value)
    return issue.keys.map((key) => ({
      path: [...path, key],
      part: 'key',
      guess: nearest(key, known),
      message: `is not a setting${didYouMean(key, known) || choices(known)}`,
    }))
  }
  if (issue.code === 'invalid_key') {
    return issue.issues.map((inner) => ({ path, part: 'key', message: `as a name: ${inner.message}` }))
  }
  if (issue.code === 'invalid_element') {
    return issue.issues.flatMap((inner) => explain(inner, path, schema, undefined))
  }
  if (issue.code === 'invalid_union') return explainUnion(issue, path, schema, value)
  const missing = issue.message.startsWith('is missing')
  return [{ path, part: missing ? 'parent' : 'value', message: issue.message }]
}

/** A union: of the branches that could be meant, the one with the fewest complaints speaks. */
function explainUnion(issue: Issue & { code: 'invalid_union' }, path: Path, schema: z.core.$ZodType, value: unknown) {
  const here = valueAt(value, issue.path)
  if ('discriminator' in issue && issue.errors.length === 0) {
    const options = ('options' in issue ? (issue.options as readonly unknown[]) : []).map(String)
    if (here === undefined) return [{ path, part: 'parent' as const, message: `is missing: ${oneOf(options)}` }]
    return [{ path, part: 'value' as const, message: `must be ${oneOf(options)}${didYouMean(String(here), options)}` }]
  }
  const union = schemaAt(schema, issue.path, value)
  const branches = issue.errors.map((issues, index) => {
    const branch = union?._zod.def.type === 'union' ? (union as z.core.$ZodUnion)._zod.def.options[index] : undefined
    return { issues, branch: branch ?? schema }
  })
  const meant = branches.filter(
    ({ issues }) => !issues.some((inner) => inner.code === 'invalid_type' && inner.path.length === 0),
  )
  const best = meant.sort((a, b) => a.issues.length - b.issues.length)[0]
  if (best !== undefined) return best.issues.flatMap((inner) => explain(inner, path, best.branch, here))
  const kinds = issue.errors.flatMap((issues) =>
    issues.flatMap((inner) => (inner.code === 'invalid_type' ? [kindNames[inner.expected] ?? inner.expected] : [])),
  )
  const message = here === undefined ? 'is missing' : `must be ${oneOf([...new Set(kinds)])}, not ${kindOf(here)}`
  return [{ path, part: here === undefined ? ('parent' as const) : ('value' as const), message }]
}

interface Guess {
  readonly guess?: string | undefined
}

/** A misspelt key that must be there is one mistake, not two. */
function withoutEchoes(problems: readonly (SchemaProblem & Guess)[]): SchemaProblem[] {
  const guessed = new Set(
    problems.flatMap(({ path, guess }) => (guess ? [pathKey([...path.slice(0, -1), guess])] : [])),
  )
  return problems.filter(({ path, part }) => part !== 'parent' || !guessed.has(pathKey(path)))
}

function named({ path, part, message }: SchemaProblem): SchemaProblem {
  return {
    path,
    part,
    message: path.length === 0 ? `the file ${message}` : `${path.map(String).join('.')}: ${message}`,
  }
}

function pathKey(path: Path): string {
  return JSON.stringify(path.map(String))
}

/** The keys that the schema allows at a path. */
function keysAt(schema: z.core.$ZodType, path: Path, value: unknown): string[] {
  const found = schemaAt(schema, path, value)
  if (found === undefined) return []
  if (found._zod.def.type === 'object') return Object.keys((found as z.core.$ZodObject)._zod.def.shape)
  if (found._zod.def.type !== 'union') return []
  const options = (found as z.core.$ZodUnion)._zod.def.options
  return [...new Set(options.flatMap((option) => keysAt(option, [], valueAt(value, path))))]
}

/** The schema that rules a path: through wrappers, and in a union by what the value says that it is. */
function schemaAt(schema: z.core.$ZodType, path: Path, value: unknown): z.core.$ZodType | undefined {
  const def = (schema as z.core.$ZodTypes)._zod.def
  switch (def.type) {
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'readonly':
    case 'catch':
    case 'nonoptional':
      return schemaAt(def.innerType, path, value)
    case 'lazy':
      return schemaAt(def.getter(), path, value)
    case 'pipe':
      return schemaAt(def.in._zod.def.type === 'transform' ? def.out : def.in, path, value)
    case 'union': {
      const branch = chosenBranch(schema as z.core.$ZodUnion, value)
      return branch === undefined ? (path.length === 0 ? schema : undefined) : schemaAt(branch, path, value)
    }
    default:
      break
  }
  const [step, ...rest] = path
  if (step === undefined) return schema
  const inside = valueAt(value, [step])
  if (def.type === 'object') {
    const next = def.shape[String(step)]
    return next === undefined ? undefined : schemaAt(next, rest, inside)
  }
  if (def.type === 'array') return schemaAt(def.element, rest, inside)
  if (def.type === 'record') return schemaAt(def.valueType, rest, inside)
  return undefined
}

function chosenBranch(union: z.core.$ZodUnion, value: unknown): z.core.$ZodType | undefined {
  const def = union._zod.def as z.core.$ZodUnionDef & { discriminator?: string }
  const { discriminator } = def
  if (discriminator === undefined) return undefined
  const told = valueAt(value, [discriminator])
  return def.options.find((option) => option._zod.propValues?.[discriminator]?.has(told as z.core.util.Primitive))
}

function valueAt(value: unknown, path: Path): unknown {
  let inside: unknown = value
  for (const step of path) {
    if (typeof inside !== 'object' || inside === null || !Object.hasOwn(inside, step)) return undefined
    inside = (inside as Record<PropertyKey, unknown>)[step]
  }
  return inside
}

const kindNames: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  record: 'a map',
  null: 'nothing',
}

/** The kind only, never the value: it may be a password in the wrong place. */
function kindOf(value: unknown): string {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  return kindNames[typeof value] ?? typeof value
}

function oneOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

function choices(known: readonly string[]): string {
  if (known.length === 0) return ''
  return known.length > 12 ? '' : `; there are ${known.join(', ')}`
}

function sizeVerb(origin: string): string {
  return origin === 'string' || origin === 'array' || origin === 'set' || origin === 'map' ? 'have' : 'be'
}

function sizeUnit(origin: string, size: number | bigint): string {
  const plural = Number(size) === 1 ? '' : 's'
  if (origin === 'string') return ` character${plural}`
  return origin === 'array' || origin === 'set' || origin === 'map' ? ` entr${plural === '' ? 'y' : 'ies'}` : ''
}
