// Writes test/hostile/packets.json from the readable rows: `npm run build && node dist/test/hostile/make.js`.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { connectRows } from './rows/connect.ts'
import { disconnectRows } from './rows/disconnect.ts'
import { fixedHeaderRows } from './rows/fixed-header.ts'
import { publishRows } from './rows/publish.ts'
import { subscribeRows } from './rows/subscribe.ts'
import type { HostileRow } from './table.ts'

export const hostileRows: readonly HostileRow[] = [
  ...fixedHeaderRows,
  ...connectRows,
  ...publishRows,
  ...subscribeRows,
  ...disconnectRows,
]

/** One row a line, so that a change shows as the rows that it changes. */
export function hostileJson(): string {
  return `[\n${hostileRows.map((row) => JSON.stringify(row)).join(',\n')}\n]\n`
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const file = join(process.cwd(), 'test/hostile/packets.json')
  writeFileSync(file, hostileJson())
  console.log(`${hostileRows.length} rows in ${file}`)
}
