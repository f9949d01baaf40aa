// Writes docs/conformance.md from the statements: `npm run conformance`. The proofs are looked up in the sources.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { repository } from '../helpers/repository.ts'
import type { Chapter, Statement } from './statement.ts'
import { chapters } from './statements/all.ts'

/** Each title of a test in test/, with its file; what a loop fills in is `…`. */
export function testTitles(): ReadonlyMap<string, string> {
  const titles = new Map<string, string>()
  for (const entry of readdirSync(join(repository, 'test'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts')) continue
    const file = join(entry.parentPath, entry.name)
    for (const [, quote, title] of readFileSync(file, 'utf8').matchAll(/\btest\((['"`])(.*?)\1/g)) {
      const seen = quote === '`' ? title!.replaceAll(/\$\{.*?\}/g, '…') : title!
      titles.set(seen, relative(repository, file))
    }
  }
  return titles
}

export function conformanceText(): string {
  const titles = testTitles()
  const intro = [
    '<!-- Written by `npm run conformance` from test/conformance/statements/; a test checks that it is up to date. -->',
    '# Conformance',
    '',
    'Every normative statement of MQTT 5.0 and 3.1.1: whom it binds, where in the code the broker obeys it, and the test',
    'that shows it. The statements are in our words; the standard has the last one. `…` in the name of a test stands for',
    'what a loop fills in. "Hostile packets" are rows of `test/hostile/packets.json`, played against a running broker by',
    '`test/broker/hostile-packets.test.ts`. Statements that bind only clients are listed for completeness.',
    '',
    ...chapters.map((chapter) => {
      const { statements } = chapter
      const ours = statements.filter(({ binds }) => binds !== 'client').length
      return `- MQTT ${chapter.version}, ${chapter.title}: ${statements.length} statements, ${ours} bind the server.`
    }),
  ]
  return `${[...intro, ...chapters.flatMap((chapter) => chapterLines(chapter, titles))].join('\n')}\n`
}

function chapterLines({ version, title, statements }: Chapter, titles: ReadonlyMap<string, string>): string[] {
  return [
    '',
    `## MQTT ${version}: ${title}`,
    '',
    '| Statement | Binds | What it asks | Where | Shown by |',
    '|---|---|---|---|---|',
    ...statements.map((statement) => row(statement, titles)),
  ]
}

function row({ id, binds, text, where, tests, hostile }: Statement, titles: ReadonlyMap<string, string>): string {
  const shown = [
    ...(tests ?? []).map((title) => `"${title}" (\`${titles.get(title) ?? 'missing'}\`)`),
    ...(hostile ?? []).map((name) => `hostile packet "${name}"`),
  ]
  const files = (where ?? []).map((file) => `\`${file}\``).join('<br>')
  const cells = [`[${id}]`, binds, text, files, shown.join('<br>')]
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  writeFileSync(join(repository, 'docs/conformance.md'), conformanceText())
  console.log('docs/conformance.md is written')
}
