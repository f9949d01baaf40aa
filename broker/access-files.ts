// The files of all plugins, and what they say about users and rights: in a broker that follows them, and without one.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { AccessBook, type AccessPart } from './access-book.ts'
import { differences } from './access-differences.ts'
import type { LiveClient } from './engine/engine.ts'
import { errorText } from './errors.ts'
import { FileArchive } from './file-archive.ts'
import { type AnyFile, FileChanges, type Versions } from './file-changes.ts'
import type { Plugin, PluginLog } from './plugin.ts'
import type { FileVersion } from './plugin-files.ts'

export interface FilesHouse {
  readonly log: PluginLog
  logOf(plugin: Plugin): PluginLog
  readonly broker: { liveClients(): Iterable<LiveClient> }
  /** Each plugin has a folder of its own name in it. */
  readonly dataDir: string
  readonly archives: boolean
}

/** From now on a change of a file is compared, kept and told. */
export async function watchFiles(prepared: readonly AccessPart[], house: FilesHouse) {
  const { log, logOf, broker, dataDir, archives } = house
  const archive = new FileArchive(dataDir)
  const owned = prepared.flatMap(({ plugin, files }) =>
    [...files.values()].map((file) => ({ plugin: plugin.name, file, log: logOf(plugin) })),
  )
  const keep = async (isMeant: (file: AnyFile) => boolean): Promise<void> => {
    for (const { plugin, file } of owned) {
      if (!archives || !isMeant(file)) continue
      await archive.keep(plugin, file).catch((error: unknown) => {
        log.warn({ file: file.shownPath, error: errorText(error) }, 'the version in use could not be archived')
      })
    }
  }
  await keep(() => true)
  let access = new AccessBook(prepared)
  let considered = { versions: new Map() as Versions, access }
  const consider = (versions: Versions): AccessBook => {
    if (considered.versions !== versions) considered = { versions, access: new AccessBook(prepared, versions, access) }
    return considered.access
  }
  const changes = new FileChanges({
    files: owned,
    log,
    check: async (versions) => {
      const book = consider(versions)
      // With thousands of rules each of the steps takes a while; others have their turn in between.
      await nextTurn()
      const problems = book.problems()
      await nextTurn()
      return problems
    },
    compare: async (versions) => differences(access, consider(versions), broker.liveClients()),
    taken: async (versions) => {
      access = consider(versions)
      await keep((file) => versions.has(file))
    },
  })
  return { access: () => access, changes, stop: changes.watch() }
}

/** What the files said that were in use last, and which of them changed since; undefined: none ever was. */
export async function lastUsed(
  parts: readonly AccessPart[],
  dataDir: string,
): Promise<{ readonly book: AccessBook; readonly files: readonly string[] } | undefined> {
  const archive = new FileArchive(dataDir)
  const versions = new Map<AnyFile, FileVersion<unknown>>()
  let isKnown = false
  for (const { plugin, files } of parts) {
    for (const file of files.values()) {
      const text = await archive.last(plugin.name, file)
      isKnown ||= text !== undefined
      if (text === undefined || text === file.text) continue
      const { file: read, problems } = await file.readText(text)
      if (read !== undefined) versions.set(file, { digest: '', text, file: read, problems })
    }
  }
  if (!isKnown) return undefined
  return { book: new AccessBook(parts, versions), files: [...versions.keys()].map(({ path }) => path) }
}

/** Plugins that answer only in a running broker. */
export function unaskedOf(prepared: readonly AccessPart[]): readonly string[] {
  return prepared.filter(({ plugin }) => plugin.access === undefined).map(({ plugin }) => plugin.name)
}
