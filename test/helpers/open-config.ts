// Variations of the config that lets everybody do everything: other limits, a store on disk, a port for metrics.
import { openConfig, type TestBroker } from './broker.ts'

export interface Variation {
  /** As in the file: `queueBytes: 2000, inflightOut: 5`. */
  readonly limits?: string
  /** LevelDB in this folder, without fsync: the process is not killed. */
  readonly folder?: string
  readonly metrics?: boolean
  /** Names or paths of the plugins; open ones when left out. */
  readonly plugins?: string
}

export function openWith({ limits, folder, metrics, plugins }: Variation): string {
  let config = openConfig
  if (folder !== undefined) {
    config = config.replace('{ type: memory }', `{ type: level, path: ${folder}/data, durability: os }`)
  }
  if (metrics === true) config = config.replace('{ enabled: false }', '{ port: 0 }')
  if (plugins !== undefined) config = config.replace('[auth-anonymous, acl-open]', plugins)
  return limits === undefined ? config : `${config}limits: { ${limits} }\n`
}

/** A number of `/metrics`, with its label as Prometheus writes it: `oriole_messages_dropped_total{reason="expired"}`. */
export async function metric(broker: TestBroker, name: string): Promise<number> {
  const text = await (await fetch(new URL('/metrics', broker.running.adminUrl))).text()
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `))
  if (line === undefined) throw new Error(`no metric ${name}`)
  return Number(line.slice(name.length + 1))
}
