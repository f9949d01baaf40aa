// The schema of the config file for editors: completion, and mistakes while typing.
import { z } from 'zod'
import { configSchema } from './schema.ts'

type Json = Record<string, unknown>

/** The text of config/oriole.schema.json. */
export function jsonSchemaText(): string {
  const schema = z.toJSONSchema(configSchema, {
    io: 'input',
    override: ({ jsonSchema }) => allowReference(jsonSchema as Json),
  })
  const properties = Object.entries(schema.properties ?? {}).map(([name, section]) => [
    name,
    allowEmpty(section as Json),
  ])
  const whole = { ...schema, title: 'Oriole config', properties: Object.fromEntries(properties) }
  return `${JSON.stringify(whole, null, 2)}\n`
}

/** A number or a truth value may come from the environment: `${PORT}`. */
function allowReference(schema: Json): void {
  if (schema.type !== 'integer' && schema.type !== 'number' && schema.type !== 'boolean') return
  const { description, default: byDefault, ...kind } = schema
  for (const key of Object.keys(kind)) delete schema[key]
  schema.anyOf = [kind, { type: 'string', pattern: '^\\$\\{[^{}]*\\}$' }]
}

/** A section with every line of it commented out. */
function allowEmpty(section: Json): Json {
  if (section.type !== 'object' && section.type !== 'array') return section
  return { ...section, type: [section.type, 'null'] }
}
